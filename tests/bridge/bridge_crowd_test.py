"""bridge_crowd_test.py: a waiting room full of people on the streams of one bridge.

    bridge_crowd_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import asyncio
import json
import re
import resource
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import Bridge
from house import PATIENCE, House, put_date, run

WAITERS, JOINERS = 2000, 20
MEMORY_MOST = 48 * 1024  # bytes of the bridge for each waiter: its connection, its subscription, what is unsent


def memory_of(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


async def join(port, users):
    """Tokens of these users, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    tokens = []
    for user in users:
        writer.write(f"GET /api/concert/token/{user} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
        tokens.append(json.loads(body)["token"])
    writer.close()
    return tokens


class Waiter:
    def __init__(self, token):
        self.token, self.places = token, []

    async def open(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(f"GET /v1/place/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {self.token}\r\n\r\n".encode())
        await self.reader.readuntil(b"\r\n\r\n")
        await self.hear(lambda place: True)

    async def hear(self, is_wanted):
        while True:
            line = await self.reader.readline()
            assert line, f"the stream of {self.places[-1:]} ended"
            if line.startswith(b"data: "):
                self.places.append(json.loads(line[6:]))
                if is_wanted(self.places[-1]):
                    return


async def wait_and_be_told(bridge, admit):
    pieces = await asyncio.gather(*(join(bridge.port, range(1 + n, WAITERS + 1, JOINERS)) for n in range(JOINERS)))
    waiters = [Waiter(token) for piece in pieces for token in piece]
    before = memory_of(bridge.process)
    for first in range(0, WAITERS, 100):  # no more at once than a listener's backlog takes
        await asyncio.gather(*(waiter.open(bridge.port) for waiter in waiters[first:first + 100]))
    each = (memory_of(bridge.process) - before) // WAITERS
    admit()
    await asyncio.gather(*(waiter.hear(lambda place: place["state"] == "active") for waiter in waiters))
    for waiter in waiters:
        waiter.writer.close()
    return waiters, each


def two_thousand_waiters_are_told_of_their_admission():  # test
    """T3, T5, Q6: each by its own stream of one bridge, whose memory each waiter costs a bounded piece of."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * WAITERS + 256), hard))
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1)
        admin.do("SET_POLICY", of_queue="yes", queue_id=0, name="admit_interval_ms", value=10)
        admin.do("SET_POLICY", of_queue="yes", queue_id=0, name="admit_batch", value=WAITERS)
        admin.do("SET_MODE", queue_id=0, mode="paused")
        with Bridge(house, options=("--quiet",)) as bridge:
            admit = lambda: admin.do("SET_MODE", queue_id=0, mode="open")
            waiters, each = asyncio.run(asyncio.wait_for(wait_and_be_told(bridge, admit), 2 * PATIENCE))
    first = sorted(waiter.places[0]["position"] for waiter in waiters)
    assert first == list(range(1, WAITERS + 1)), first[:5]
    assert {waiter.places[0]["state"] for waiter in waiters} == {"waiting"}
    assert each < MEMORY_MOST, f"{each} bytes for each waiter"
    print(f"{each} bytes for each waiter")


run(globals())
