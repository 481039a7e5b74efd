"""conformance_stream_test.py: streams as a network delivers them: in splinters, in one piece, broken, silent.

    conformance_stream_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import random
import socket

from house import House, run, wait_until
from usher_protocol import REPLY, TABLES, decode, encode, frame, new_id, new_user

PING = TABLES.messages["PING"].opcode


def ping(request_no, echo):
    return frame(PING, request_no, encode("ping_request", {"echo": echo}))


def a_request_is_read_at_any_split():  # test
    """F1: a handshake and a join, a byte at a time."""
    with House("--quiet") as house:
        client = house.connect()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = client.socket

        class Splinters:
            """The socket, which sends a byte at a time."""
            def sendall(self, data):
                for byte in data:
                    whole.sendall(bytes([byte]))

            def __getattr__(self, name):
                return getattr(whole, name)

        client.socket = Splinters()
        admin = house.admin()
        client.hello(admin.seed, admin.said["client_key"])
        assert client.ask("AUTHENTICATE", signature=client.sign("usher-hello-client-1")) == admin.who
        assert client.do("JOIN", user=new_user(), queue_id=0)["state"] == "active"


def each_request_of_many_is_answered_once():  # test
    """F1: a thousand requests in one piece; each reply names its own."""
    with House("--quiet") as house:
        client = house.connect()
        client.socket.sendall(b"".join(ping(n, n * n) for n in range(1000)))
        echoes = {}
        while len(echoes) < 1000:
            reply = client.receive()
            assert (reply.flags, reply.opcode, reply.aux) == (REPLY, PING, 0) and reply.request_no not in echoes, reply
            echoes[reply.request_no] = decode("ping_reply", reply.body)["echo"]
        assert echoes == {n: n * n for n in range(1000)}


def garbage_is_refused_once_and_what_came_before_it_answered():  # test
    """F1: sections 2 and 6: one refusal, the replies that are due, the end of the stream."""
    chance = random.Random(20240620)
    with House("--quiet", "--hello-ms", "600000") as house:
        for turn in range(60):
            client, before = house.connect(), turn % 4
            garbage = chance.randbytes(chance.randrange(64, 3000))
            # Its size promises no more than there is, so that nothing has to be waited for.
            if turn % 3:
                garbage = len(garbage).to_bytes(4, "little") + b"\1" + garbage[5:]
            elif 32 <= int.from_bytes(garbage[:4], "little") <= 65536:
                continue
            client.socket.sendall(b"".join(ping(n, turn) for n in range(1, before + 1)) + garbage)
            got = []
            try:
                while (reply := client.receive()) is not None:
                    got.append(reply)
            except ConnectionError:
                pass  # a reset: the server closed while bytes of ours were still on their way
            refusals = [reply for reply in got if reply.aux]
            assert len(refusals) == 1 and len(got) == before + 1, (turn, got)
            client.refusal_of("FRAME_CHECK" if turn % 3 else "FRAME_SIZE", refusals[0])
            client.close()
        house.admin().ask("INFO")


def commands_before_garbage_are_carried_out():  # test
    """F1, X3: what was taken is done and answered, though the stream is lost behind it."""
    with House("--quiet") as house:
        admin, user, request_id = house.admin(), new_user(), new_id()
        body = encode("charge_request", {"request_id": request_id, "user": user, "amount": 7})
        admin.socket.sendall(frame(TABLES.messages["CHARGE"].opcode, 70, body) + b"\0" * 32)
        got = [admin.receive(), admin.receive()]
        admin.must_be_closed()
        charge = next(reply for reply in got if reply.request_no == 70)
        assert charge.aux == 0 and decode("charge_reply", charge.body)["balance"] == 7
        again = house.admin()
        assert again.ask("BALANCE", user=user)["balance"] == 7
        assert again.ask("LOOKUP", user=user, request_id=request_id)["body"] == charge.body


def one_connection_too_many_is_told():  # test
    """Section 11: BUSY with opcode 0 and request number 0, then the end; a place that frees is given."""
    with House("--quiet", "--connections-max", "2", "--hello-ms", "600000") as house:
        first, second = house.connect(), house.connect()
        first.ask("PING", echo=1)
        second.ask("PING", echo=2)
        third = house.connect()
        reply = third.receive()
        assert third.refusal_of("BUSY", reply)["retry_after_ms"] > 0
        assert (reply.opcode, reply.request_no) == (0, 0)
        third.must_be_closed()
        first.close()

        def gets_in():
            try:
                return house.connect().ask("PING", echo=3)["echo"] == 3
            except (EOFError, ConnectionError):
                return False

        wait_until("the place of the first is given to another", gets_in)


def the_silent_and_the_slow_are_cut_without_a_word():  # test
    """Section 11: hello_ms for who proves nothing, frame_ms for a frame that has begun."""
    with House("--quiet", "--hello-ms", "100") as house:
        house.connect().must_be_closed()
    with House("--quiet", "--frame-ms", "100", "--hello-ms", "600000") as house:
        client = house.connect()
        client.ask("PING", echo=1)
        client.socket.sendall(ping(9, 9)[:-1])
        client.must_be_closed()


if __name__ == "__main__":
    run(globals())
