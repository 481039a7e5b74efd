"""house.py: a real usherd on loopback for the conformance tests, and the words that they share.

    with House() as house:
        admin = house.admin()
        admin.ask("PUT_PLAN", ...)

Each test file is run as `file.py USHERD NAME`, by CTest, and runs the one test of that name: a function whose line ends
with "# test" and whose docstring is its comment. What is wrong ends it with a traceback and 1.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from usher_protocol import REPLAYED, REPLY, TABLES, Client, Refused, decode, new_id, read_key_file

PATIENCE = 60  # seconds for what takes a moment; sanitizers on a busy machine are slow
FAR_MS = 4102444800000  # 2100-01-01


def wait_until(what, condition):
    """Ask again until the condition holds, and return what it gave."""
    end = time.monotonic() + PATIENCE
    while not (given := condition()):
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)
    return given


class Checked(Client):
    """A client that holds every reply against what SPEC.md says of all of them, and remembers the results it got."""

    results = set()
    stamp_ms = before_ms = 0  # of the last reply, and of the last one before the last request

    def send(self, message, /, **values):
        self.before_ms = self.stamp_ms
        return super().send(message, **values)

    def receive(self):
        got = super().receive()
        if got is not None and got.flags & REPLY:
            assert got.flags & ~(REPLY | REPLAYED) == 0, got
            assert got.stamp_ms >= max(self.stamp_ms, 1), "X1: a moment before the last one"
            self.stamp_ms = got.stamp_ms
            Checked.results.add(TABLES.result_names[got.aux])
        return got

    def answer(self, request_no, message):
        try:
            return super().answer(request_no, message)
        except Refused as refused:
            self.check_refusal(refused.result, refused.refusal)
            raise

    def check_refusal(self, result, refusal):
        """Section 6 behind its table: which results say until when, after how long, and about which seats."""
        told = (result, refusal)
        if TABLES.results[result].detail == "-":
            assert refusal["detail"] == 0, told
        if refusal["until_ms"]:
            assert result in ("HELD", "NOT_ON_SALE"), told
            judged_ms = refusal["until_ms"] - refusal["retry_after_ms"]
            assert self.before_ms <= judged_ms <= self.last.stamp_ms, (told, self.before_ms, self.last.stamp_ms)
        elif refusal["retry_after_ms"]:
            assert result in ("TOKEN_WAITING", "BUSY", "STORAGE_FAULT", "STORAGE_FULL"), told
        if refusal["conflict"]:
            assert result in ("SOLD", "BLOCKED", "HELD"), told
        for conflict in refusal["conflict"]:
            name = TABLES.result_names[conflict["result"]]
            assert name in ("SOLD", "BLOCKED", "HELD"), told
            assert name == "HELD" or conflict["until_ms"] == 0, told

    def do(self, message, /, **values):
        """A COMMAND under a new id."""
        return self.ask(message, request_id=new_id(), **values)

    def refused(self, result, message, /, **values):
        """The refusal of a request that must get this result."""
        try:
            got = self.ask(message, **values)
        except Refused as refused:
            assert refused.result == result, f"{message}: {refused.result}, not {result}"
            return refused.refusal
        raise AssertionError(f"{message} was answered instead of refused as {result}: {got}")

    def refusal_of(self, result, frame):
        """Whether a frame that was received is this refusal; its body."""
        assert frame is not None, f"the end of the stream instead of {result}"
        assert frame.flags == REPLY and TABLES.result_names[frame.aux] == result, (result, frame)
        self.last = frame
        refusal = decode("refusal", frame.body)
        self.check_refusal(result, refusal)
        return refusal

    def must_be_closed(self):
        assert self.receive() is None, "the connection is still open"


class House:
    def __init__(self, *options):
        self.folder = Path(tempfile.mkdtemp(prefix="usher-conformance-"))
        self.data, self.port_file, self.log = self.folder / "data", self.folder / "port", self.folder / "log"
        self.clients = []
        with self.log.open("wb") as log:
            # A test that dies takes its server along.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.argv[1], "--data", self.data, "--listen", "127.0.0.1:0",
                 "--port-file", self.port_file, "--map-size", "1073741824", *options], stdout=log, stderr=log)

    def serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"usherd ended with {self.process.returncode}: {self.log.read_text()}")
        return self.port_file.exists() and self.port_file.read_text()

    def __enter__(self):
        try:
            self.port = int(wait_until("usherd serves", self.serves))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        said = self.log.read_text(errors="replace")
        shutil.rmtree(self.folder)
        assert "Sanitizer:" not in said and "runtime error:" not in said, said

    def connect(self, *key):
        client = Checked(self.port, *key)
        self.clients.append(client)
        return client

    def admin(self):
        return self.connect(*read_key_file(self.data / "admin.key"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def ended_with(self):
        return self.process.wait(PATIENCE)


def put_date(admin, number, sections=((5, 10),), price=100, queue_id=0, **more):
    """Plan, concert and date of this number: rows of so many seats, all of one grade. The date is the concert's 1st."""
    admin.do("PUT_PLAN", plan_id=number, section=[
        {"name": f"S{i}", "first_row": 1, "row_count": rows, "seats_per_row": seats} for i, (rows, seats)
        in enumerate(sections)])
    admin.do("PUT_CONCERT", concert_id=number, queue_id=queue_id, title=f"Evening {number}", venue="Town Hall")
    admin.do("PUT_DATE", **{"concert_id": number, "date_id": 1, "plan_id": number, "starts_at_ms": FAR_MS,
                            "price": [price]} | more)
    return {"concert_id": number, "date_id": 1}


def run(tests):
    """Run the test that the command line names."""
    os.chdir("/")
    tests[sys.argv[2]]()
    print("passed:", tests[sys.argv[2]].__doc__.strip().splitlines()[0])
