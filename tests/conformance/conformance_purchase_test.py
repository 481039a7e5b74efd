"""conformance_purchase_test.py: a stranger who has read SPEC.md buys a ticket, asks again, and is refused as it says.

    conformance_purchase_test.py USHERD NAME     runs the test of that name, as CTest does
"""
from house import House, put_date, run, wait_until
from usher_protocol import (PUSH, REPLAYED, TABLES, Never, decode, encode, frame, new_id, new_user, read_key_file,
                            verify)


def free_seats(reply):
    """Section 8, SEATS: bit b of number i."""
    return [(reply["first_block"] + i) * 64 + b + 1 for i, block in enumerate(reply["free_block"]) for b in range(64)
            if block >> b & 1]


def body_of(document, kind):
    return document[:48 if kind == 1 else 50 + 12 * int.from_bytes(document[48:50], "little")]


def a_ticket_is_bought_and_holds_at_the_gate():  # test
    """T1 to B1, M10: from the hello to a receipt that is verified with the public key alone."""
    with House("--quiet") as house:
        admin, user = house.admin(), new_user()
        assert admin.who == {"client_id": 1, "role": "admin", "name": "admin"}
        show = put_date(admin, 1, price=2500)
        service_key = {1: read_key_file(house.data / "service.key")[1]}
        assert admin.server_key == service_key[1]

        place = admin.do("JOIN", user=user, queue_id=0)
        token = place["token"]
        assert place["state"] == "active" and place["rank"] == 0 and place["sale"] == "open", place
        says = verify(token, 1, service_key)
        assert (says["user"], says["position"], says["queue_id"]) == (user, place["position"], 0), says
        assert says["issued_ms"] <= admin.stamp_ms < says["ends_ms"]
        assert admin.ask("PLACE", token=token)["state"] == "active"

        dates = admin.ask("DATES", token=token, concert_id=1)
        assert dates["more"] == "no" and [row["status"] for row in dates["date"]] == ["on_sale"], dates
        assert admin.ask("PLAN", **show)["section"][0]["name"] == "S0"
        assert free_seats(admin.ask("SEATS", token=token, **show)) == list(range(1, 51))
        held = admin.do("RESERVE", token=token, seat=[7, 8], **show)
        assert [hold["seat_no"] for hold in held["hold"]] == [7, 8]
        assert held["until_ms"] == min(hold["until_ms"] for hold in held["hold"]) > admin.stamp_ms
        seats = admin.ask("SEATS", token=token, **show)
        assert free_seats(seats) == [n for n in range(1, 51) if n not in (7, 8)] and seats["free_count"] == 48

        assert admin.do("CHARGE", token=token, amount=6000)["balance"] == 6000
        reservation = [hold["reservation_id"] for hold in held["hold"]]
        paid = admin.do("PAY", token=token, reservation=reservation)
        assert (paid["amount"], paid["balance"]) == (5000, 1000), paid
        assert [(s["reservation_id"], s["seat_no"], s["price"]) for s in paid["seat"]] == [
            (reservation[0], 7, 2500), (reservation[1], 8, 2500)]
        assert admin.ask("PLACE", token=token)["state"] == "used"
        assert admin.ask("BALANCE", token=token)["balance"] == 1000
        alone = admin.ask("RECEIPT", token=token, payment_id=paid["payment_id"], alone="yes")["receipt"]

    # The house is closed and its folder gone: this is the gate.
    for receipt in (paid["receipt"], alone):
        ticket = verify(receipt, 2, service_key)
        assert ticket["seats"] == [(1, 1, 7), (1, 1, 8)] and ticket["user"] == user, ticket
        assert (ticket["payment_id"], ticket["amount"], ticket["paid_at_ms"]) == (
            paid["payment_id"], 5000, paid["paid_at_ms"])
        for at in range(len(receipt)):
            try:
                verify(receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1:], 2, service_key)
            except Never:
                continue
            raise AssertionError(f"byte {at} of a ticket was changed and the gate did not notice")
    assert len(alone) == 50 + 2 * 12 + 68, "the path is not empty"


def many(client, name, requests):
    """Send requests in one piece; the replies in their order."""
    numbers = range(client.request_no + 1, client.request_no + 1 + len(requests))
    client.request_no = numbers[-1]
    opcode, struct_name = TABLES.messages[name].opcode, name.lower() + "_request"
    client.socket.sendall(b"".join(frame(opcode, n, encode(struct_name, r)) for n, r in zip(numbers, requests)))
    got = {}
    while len(got) < len(numbers):
        reply = client.receive()
        assert reply.request_no in numbers and reply.request_no not in got and reply.aux == 0, reply
        got[reply.request_no] = reply
    return [got[n] for n in numbers]


def documents_that_left_together_share_a_tree():  # test
    """T1, M10: tokens and receipts of one batch have Merkle paths, and each path leads to the signed root."""
    with House("--quiet") as house:
        admin = house.admin()
        show = put_date(admin, 1, price=0)
        keys, sizes = {1: admin.server_key}, set()

        def buy_in_one_piece():
            users = [new_user() for _ in range(13)]
            replies = many(admin, "JOIN", [{"request_id": new_id(), "user": user, "queue_id": 0} for user in users])
            tokens = [decode("join_reply", reply.body)["token"] for reply in replies]
            for user, token in zip(users, tokens):
                says = verify(token, 1, keys)
                assert says["user"] == user
                sizes.add((1, says["leaf_count"] > 2))
            free = free_seats(admin.ask("SEATS", user=users[0], **show))[:3]
            replies = many(admin, "RESERVE", [dict(request_id=new_id(), token=token, seat=[seat], **show)
                                              for token, seat in zip(tokens, free)])
            holds = [decode("reserve_reply", reply.body)["hold"][0]["reservation_id"] for reply in replies]
            replies = many(admin, "PAY", [dict(request_id=new_id(), token=token, reservation=[hold])
                                          for token, hold in zip(tokens, holds)])
            for reply, seat in zip(replies, free):
                says = verify(decode("pay_reply", reply.body)["receipt"], 2, keys)
                assert says["seats"] == [(1, 1, seat)] and says["amount"] == 0
                sizes.add((2, says["leaf_count"] > 2))
            return {(1, True), (2, True)} <= sizes

        admin.do("SET_POLICY", of_queue="yes", queue_id=0, name="admit_batch", value=100000)
        # What is sent in one piece mostly arrives so; where it didn't, try again while there are seats.
        wait_until("what was sent together left together", buy_in_one_piece)


def a_request_again_gets_its_first_answer():  # test
    """M3, M4, M7, X3: replays of request ids, refusals of money among them, MISMATCH, and LOOKUP."""
    with House("--quiet") as house:
        admin, user, other = house.admin(), new_user(), new_user()
        show = put_date(admin, 1)
        token = admin.do("JOIN", user=user, queue_id=0)["token"]
        ids = {name: new_id() for name in ("JOIN", "RESERVE", "CHARGE", "PAY", "RELEASE", "LEAVE")}

        def twice(name, changed, **values):
            """Ask, ask again, ask with something changed; then look it up. Returns the first reply."""
            first = admin.ask(name, request_id=ids[name], **values)
            assert admin.last.flags & REPLAYED == 0
            first_body = admin.last.body
            again = admin.ask(name, request_id=ids[name], **values)
            assert admin.last.flags & REPLAYED, f"{name} again is not marked as replayed"
            for field, kind in (("token", 1), ("receipt", 2)):  # a proof may be another
                if field in first:
                    assert body_of(first.pop(field), kind) == body_of(again.pop(field), kind)
                    first_body = None
            assert again == first, (again, first)
            admin.refused("MISMATCH", changed.pop("message", name), request_id=ids[name], **values | changed)
            found = admin.ask("LOOKUP", user=user, request_id=ids[name])
            assert (found["opcode"], found["result"]) == (TABLES.messages[name].opcode, 0), found
            assert first_body in (None, found["body"])
            return first

        twice("JOIN", {"queue_id": 1}, user=user, queue_id=0)
        held = twice("RESERVE", {"seat": [5]}, token=token, seat=[4], **show)
        twice("CHARGE", {"amount": 11}, token=token, amount=10)
        pay = {"token": token, "reservation": [held["hold"][0]["reservation_id"]]}

        # A refused payment is remembered: the same id never spends, though there are points by now.
        lack = new_id()
        refusal = admin.refused("NOT_ENOUGH_POINTS", "PAY", request_id=lack, **pay)
        assert refusal["detail"] == 90
        admin.do("CHARGE", token=token, amount=990)
        assert admin.refused("NOT_ENOUGH_POINTS", "PAY", request_id=lack, **pay)["detail"] == 90
        assert admin.last.flags & REPLAYED
        found = admin.ask("LOOKUP", token=token, request_id=lack)
        assert found["result"] == TABLES.results["NOT_ENOUGH_POINTS"].value

        # A refused reservation is not: its id is free for another try, with another body even.
        again = new_id()
        admin.refused("SEAT_NOT_FOUND", "RESERVE", request_id=again, token=token, seat=[99], **show)
        spare = admin.ask("RESERVE", request_id=again, token=token, seat=[9], **show)["hold"][0]["reservation_id"]
        assert twice("RELEASE", {"reservation": [1, 2]}, token=token, reservation=[spare])["released_count"] == 1

        # The payment's reply is lost and its token used: it is answered in full all the same.
        payment = twice("PAY", {"reservation": [spare]}, **pay)
        admin.refused("TOKEN_USED", "PAY", request_id=new_id(), **pay)
        assert twice("LEAVE", {"message": "RELEASE"}, token=token) == {"state": "used", "released_count": 0}
        assert payment["amount"] == 100
        # Another user's same id is another request.
        assert admin.ask("JOIN", request_id=ids["JOIN"], user=other, queue_id=0)["position"] > 1
        assert admin.last.flags & REPLAYED == 0


def the_server_says_when_it_goes():  # test
    """X7: a connection that has proved its key gets the push, what is asked later is refused or the stream ends."""
    with House() as house:
        admin, stranger = house.admin(), house.connect()
        stranger.ask("PING", echo=1)
        house.stop()
        push = admin.receive()
        assert push.flags == PUSH and TABLES.pushes[push.opcode] == "GOING_AWAY", push
        assert (push.request_no, push.aux) == (0, 0) and push.stamp_ms > 0
        says = decode("going_away_push", push.body)
        assert says["reason"] == "stop" and 0 < says["drain_ms"] <= 10000, says
        try:
            admin.refused("GOING_AWAY", "JOIN", request_id=new_id(), user=new_user(), queue_id=0)
        except (EOFError, ConnectionError):
            pass  # as section 8 allows once it has stopped reading
        try:
            admin.must_be_closed()
            assert stranger.receive() is None, "who has not proved a key gets no push"
        except ConnectionError:
            pass
        assert house.ended_with() == 0


if __name__ == "__main__":
    run(globals())
