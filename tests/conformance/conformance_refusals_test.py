"""conformance_refusals_test.py: every result of SPEC.md's section 6, met by a stranger, with the body that it says.

    conformance_refusals_test.py USHERD NAME     runs the test of that name, as CTest does

A scene names the results that it meets and must meet exactly those; house.py holds each refusal against what section 6
says of `detail`, `until_ms`, `retry_after_ms` and `conflict`. A new result needs a scene here, or a line in ELSEWHERE.
"""
import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from house import FAR_MS, Checked, House, put_date, run, wait_until
from usher_protocol import (FRAME_MAX, REPLY, TABLES, decode, encode, frame, hashed, new_id, new_user)

# What is met by other tests: by which, and why not here.
ELSEWHERE = {
    **dict.fromkeys(("FRAME_SIZE", "FRAME_VERSION", "FRAME_CHECK", "FRAME_HEADER", "OPCODE_UNKNOWN", "BODY_SIZE",
                     "REQUEST_ID_MISSING"), "conformance_vectors_test: a server refuses what can never be valid"),
    "GOING_AWAY": "drain_test: whether the server still reads is a race that a stranger need not win",
    "STORAGE_FAULT": "fault_test: no client can bring it about",
    "STORAGE_FULL": "full_test: no client can bring it about at will",
    "SLOW_CONSUMER": "watch_test: no reply has it, only a push to who does not read",
}
MEETS = {}


def meets(*results):
    """The scene below meets these results and no others but OK."""
    def around(scene):
        def played():
            Checked.results.clear()
            scene()
            met = Checked.results - {"OK"}
            assert met == set(results), f"met besides: {met - set(results)}; not met: {set(results) - met}"
        played.__doc__ = scene.__doc__
        MEETS[scene.__name__] = set(results)
        return played
    return around


def new_key():
    """A seed and its public key."""
    seed = os.urandom(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return seed, public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def enrol(house, admin, role):
    """A new client of this role, by invitation."""
    code, client = os.urandom(32), house.connect()
    admin.do("INVITE", role=role, name=f"the {role}", code_hash=hashed(code))
    seed, public = new_key()
    client.hello(seed, public)
    client.who = client.do("ENROL", code=code, client_key=public, signature=client.sign("usher-hello-enrol-1"))
    assert client.who["role"] == role
    client.key, client.code = (seed, public), code
    return client


def every_result_has_a_scene():  # test
    """F1: section 6's table and the scenes of this file name the same results."""
    named = set().union(*MEETS.values(), ELSEWHERE, {"OK"})
    assert named == set(TABLES.results), f"write a scene, or a line in ELSEWHERE: {named ^ set(TABLES.results)}"


@meets("HELLO_MISSING", "HELLO_REPEATED", "SIGNATURE_WRONG", "CLIENT_UNKNOWN", "CLIENT_REVOKED", "CODE_UNKNOWN",
       "ROLE_REFUSED", "KEY_IN_USE", "FIELD_INVALID", "CLIENT_NOT_FOUND")
def nobody_gets_in_with_a_wrong_proof():  # test
    """Section 3: who proves nothing gets nothing, a wrong proof closes the connection, a lost welcome comes again."""
    with House("--quiet", "--hello-ms", "600000") as house:
        admin, stranger = house.admin(), house.connect()
        stranger.refused("HELLO_MISSING", "CONCERTS")
        stranger.refused("HELLO_MISSING", "AUTHENTICATE", signature=bytes(64))
        seed, public = new_key()
        too_small = {"client_key": public, "client_nonce": os.urandom(32), "frame_max": FRAME_MAX - 1}
        assert stranger.refused("FIELD_INVALID", "HELLO", **too_small)["detail"] == 4
        stranger.hello(seed, public)
        stranger.refused("HELLO_REPEATED", "HELLO", **stranger.said)
        stranger.refused("CLIENT_UNKNOWN", "AUTHENTICATE", signature=stranger.sign("usher-hello-client-1"))
        stranger.must_be_closed()

        # A recorded proof is worth nothing elsewhere, nor is that for another label.
        recorded = admin.sign("usher-hello-client-1")
        for signature in (lambda client: recorded, lambda client: client.sign("usher-hello-enrol-1")):
            thief = house.connect()
            thief.hello(admin.seed, admin.said["client_key"])
            thief.refused("SIGNATURE_WRONG", "AUTHENTICATE", signature=signature(thief))
            thief.must_be_closed()

        gateway = enrol(house, admin, "gateway")
        gateway.refused("ROLE_REFUSED", "INFO")
        gateway.refused("HELLO_REPEATED", "AUTHENTICATE", signature=gateway.sign("usher-hello-client-1"))
        again = house.connect()  # the welcome was lost: the same code and key find it
        again.hello(*gateway.key)
        assert again.do("ENROL", code=gateway.code, client_key=gateway.key[1],
                        signature=again.sign("usher-hello-enrol-1")) == gateway.who
        other = house.connect()
        other.hello(*new_key())
        own = {"client_key": other.said["client_key"], "signature": other.sign("usher-hello-enrol-1")}
        refusal = other.refused("FIELD_INVALID", "ENROL", request_id=new_id(), code=gateway.code,
                                **own | {"client_key": public})
        assert refusal["detail"] == 3, refusal
        other.refused("CODE_UNKNOWN", "ENROL", request_id=new_id(), code=gateway.code, **own)
        other.must_be_closed()
        admin.refused("KEY_IN_USE", "INVITE", request_id=new_id(), role="gateway", name="twice",
                      code_hash=hashed(gateway.code))
        code, twice = os.urandom(32), house.connect()
        admin.do("INVITE", role="observer", name="another", code_hash=hashed(code))
        twice.hello(*gateway.key)
        twice.refused("KEY_IN_USE", "ENROL", request_id=new_id(), code=code, client_key=gateway.key[1],
                      signature=twice.sign("usher-hello-enrol-1"))
        twice.must_be_closed()

        admin.do("REVOKE", client_id=gateway.who["client_id"])
        gateway.must_be_closed()
        revoked = house.connect()
        revoked.hello(*gateway.key)
        revoked.refused("CLIENT_REVOKED", "AUTHENTICATE", signature=revoked.sign("usher-hello-client-1"))
        revoked.must_be_closed()
        admin.refused("CLIENT_NOT_FOUND", "REVOKE", request_id=new_id(), client_id=99)


@meets("TOKEN_MISSING", "TOKEN_MALFORMED", "TOKEN_UNKNOWN_KEY", "TOKEN_FORGED", "TOKEN_OTHER_USER", "USER_MISSING",
       "TOKEN_USED", "TOKEN_EXPIRED", "TOKEN_OTHER_QUEUE", "TOKEN_WAITING", "MISMATCH", "REQUEST_NOT_FOUND")
def each_bad_token_has_its_own_result():  # test
    """Q12, Q13: by proof, by user, by queue and by state, in this order."""
    with House("--quiet") as house:
        admin = house.admin()
        show = put_date(admin, 1, price=0)
        gateway, user, other = enrol(house, admin, "gateway"), new_user(), new_user()
        admin.do("SET_POLICY", of_queue="yes", queue_id=0, name="active_max", value=2)
        tokens = {who: gateway.do("JOIN", user=who, queue_id=0)["token"] for who in (user, other)}
        token = tokens[user]

        def ask_with(result, token, **values):
            return gateway.refused(result, "BALANCE", token=token, **values)

        ask_with("TOKEN_MISSING", b"", user=user)
        admin.refused("USER_MISSING", "BALANCE")
        ask_with("TOKEN_MALFORMED", token[:-1])
        ask_with("TOKEN_UNKNOWN_KEY", token[:2] + b"\2\0" + token[4:])
        ask_with("TOKEN_FORGED", token[:24] + b"\0" + token[25:])
        ask_with("TOKEN_OTHER_USER", token, user=other)
        ask_with("TOKEN_MALFORMED", token[:-1], user=other)
        gateway.refused("USER_MISSING", "JOIN", request_id=new_id(), queue_id=0)

        waiter = gateway.do("JOIN", user=new_user(), queue_id=0)
        assert waiter["state"] == "waiting" and waiter["rank"] == 1
        refusal = ask_with("TOKEN_WAITING", waiter["token"])
        assert refusal["detail"] == 1 and refusal["retry_after_ms"] > 0
        assert gateway.ask("PLACE", token=waiter["token"])["rank"] == 1
        admin.do("PUT_QUEUE", queue_id=5, name="elsewhere")
        elsewhere = put_date(admin, 5, queue_id=5)
        gateway.refused("TOKEN_OTHER_QUEUE", "SEATS", token=token, **elsewhere)

        held = gateway.do("RESERVE", token=token, seat=[1], **show)
        gateway.do("PAY", token=token, reservation=[held["hold"][0]["reservation_id"]])
        gateway.refused("TOKEN_USED", "SEATS", token=token, **show)
        left = new_id()
        gateway.ask("LEAVE", request_id=left, token=tokens[other])
        assert gateway.refused("TOKEN_EXPIRED", "SEATS", token=tokens[other], **show)["detail"] == 4
        # The request id comes before the state, the proof before the request id.
        again = {"request_id": left, "token": tokens[other]}
        gateway.refused("MISMATCH", "RELEASE", reservation=[1], **again)
        again["token"] = token[:24] + b"\0" + token[25:]
        gateway.refused("TOKEN_FORGED", "RELEASE", reservation=[1], **again)
        gateway.refused("REQUEST_NOT_FOUND", "LOOKUP", token=token, request_id=new_id())


@meets("CONCERT_NOT_FOUND", "DATE_NOT_FOUND", "FROZEN", "DATE_PAST", "NOT_ON_SALE", "SEATS_NONE", "SEAT_DUPLICATE",
       "SEATS_PER_REQUEST", "SEAT_NOT_FOUND", "SEATS_PER_USER", "HOLDS_PER_USER", "SOLD", "BLOCKED", "HELD", "SOLD_OUT",
       "ALL_HELD", "NOT_ENOUGH_SEATS", "NOT_TOGETHER", "RESERVATION_NOT_FOUND", "NOT_YOURS")
def each_seat_that_is_not_to_be_had_says_why():  # test
    """H1 to H9: what stands in the way of a hold, until when, and which seats."""
    with House("--quiet") as house:
        admin, ann, bob = house.admin(), new_user(), new_user()
        show = put_date(admin, 1, price=0)

        def ask(result, who=ann, date=show, message="RESERVE", **values):
            return admin.refused(result, message, request_id=new_id(), user=who, **date | values)

        ask("CONCERT_NOT_FOUND", date={"concert_id": 99, "date_id": 1}, seat=[1])
        ask("DATE_NOT_FOUND", date={"concert_id": 1, "date_id": 9}, seat=[1])
        ask("DATE_PAST", date=put_date(admin, 2, starts_at_ms=1), seat=[1])
        later = put_date(admin, 3, opens_at_ms=FAR_MS - 1000)
        assert ask("NOT_ON_SALE", date=later, seat=[1])["until_ms"] == FAR_MS - 1000
        over = put_date(admin, 4, closes_at_ms=admin.stamp_ms)
        assert ask("NOT_ON_SALE", date=over, seat=[1])["until_ms"] == 0

        ask("SEATS_NONE", seat=[])
        assert ask("SEAT_DUPLICATE", seat=[3, 4, 3])["detail"] == 3
        assert ask("SEATS_PER_REQUEST", seat=[1, 2, 3, 4, 5])["detail"] == 4
        assert ask("SEAT_NOT_FOUND", seat=[1, 51])["detail"] == 51
        held = admin.do("RESERVE", user=ann, seat=[1, 2, 3, 4], **show)
        assert ask("SEATS_PER_USER", seat=[5])["detail"] == 4
        admin.do("SET_POLICY", name="seats_per_user", value=9)
        admin.do("SET_POLICY", name="holds_per_user", value=4)
        assert ask("HOLDS_PER_USER", seat=[5])["detail"] == 4
        admin.do("SET_POLICY", name="holds_per_user", value=16)
        again = admin.do("RESERVE", user=ann, seat=[4, 3], **show)  # H3
        assert again["hold"] == [held["hold"][3], held["hold"][2]]

        # Seats in the way: the first of SOLD, BLOCKED and HELD is told, and all of them are listed.
        deadline = held["hold"][1]["until_ms"]
        admin.do("PAY", user=ann, reservation=[held["hold"][0]["reservation_id"]])
        admin.do("BLOCK", seat=[9], reason="no view", **show)
        assert ask("HELD", bob, seat=[2])["until_ms"] == deadline
        refusal = ask("BLOCKED", bob, seat=[2, 9])
        assert [(c["seat_no"], TABLES.result_names[c["result"]]) for c in refusal["conflict"]] == [
            (2, "HELD"), (9, "BLOCKED")]
        refusal = ask("SOLD", bob, seat=[10, 9, 2, 1])
        assert [(c["seat_no"], TABLES.result_names[c["result"]], c["until_ms"]) for c in refusal["conflict"]] == [
            (9, "BLOCKED", 0), (2, "HELD", deadline), (1, "SOLD", 0)]
        swap = {"message": "SWAP", "seat": [2]}
        ask("SEATS_NONE", bob, reservation=[], **swap)
        own = admin.do("RESERVE", user=bob, seat=[20], **show)["hold"][0]
        refusal = ask("HELD", bob, reservation=[own["reservation_id"]], **swap)
        assert refusal["until_ms"] == deadline and [c["seat_no"] for c in refusal["conflict"]] == [2]
        ask("NOT_YOURS", bob, {}, "RELEASE", reservation=[held["hold"][1]["reservation_id"]])
        ask("RESERVATION_NOT_FOUND", bob, {}, "RELEASE", reservation=[999])

        small = put_date(admin, 6, sections=((2, 1),), price=0)
        best = {"message": "RESERVE_BEST", "date": small, "grade": 255}
        assert ask("NOT_ENOUGH_SEATS", count=3, **best)["detail"] == 2
        assert ask("NOT_TOGETHER", count=2, together="yes", **best)["detail"] == 2
        last = admin.do("RESERVE_BEST", user=ann, count=2, grade=255, **small)
        ask("ALL_HELD", bob, count=1, **best)
        admin.do("PAY", user=ann, reservation=[hold["reservation_id"] for hold in last["hold"]])
        ask("SOLD_OUT", bob, count=1, **best)
        admin.do("SET_MODE", queue_id=0, mode="frozen")
        ask("FROZEN", seat=[5])


@meets("AMOUNT_INVALID", "AMOUNT_TOO_LARGE", "BALANCE_TOO_LARGE", "NOT_ENOUGH_POINTS", "ALREADY_PAID", "HOLD_EXPIRED",
       "PAYMENT_NOT_FOUND", "ALREADY_REFUNDED", "REFUND_CLOSED", "USER_NOT_FOUND", "SEATS_NONE", "SEAT_DUPLICATE")
def each_payment_that_is_refused_says_why():  # test
    """M1, M5, M6, M8: nothing moves, and the refusal says what is missing or what there is already."""
    with House("--quiet") as house:
        admin, user, most = house.admin(), new_user(), 2 ** 53 - 1
        show = put_date(admin, 1, price=70, refund_until_ms=FAR_MS)

        def ask(result, message, **values):
            return admin.refused(result, message, request_id=new_id(), **{"user": user} | values)

        admin.refused("USER_NOT_FOUND", "LEDGER", user=user)
        for amount in (0, -5, -2 ** 63):
            ask("AMOUNT_INVALID", "CHARGE", amount=amount)
        assert ask("AMOUNT_TOO_LARGE", "CHARGE", amount=2 ** 63 - 1)["detail"] == 1000000000
        admin.do("SET_POLICY", name="charge_max", value=most)
        rich = new_user()
        assert admin.do("CHARGE", user=rich, amount=most)["balance"] == most
        assert ask("BALANCE_TOO_LARGE", "CHARGE", user=rich, amount=1)["detail"] == most

        hold = admin.do("RESERVE", user=user, seat=[1], **show)["hold"][0]
        pay = {"reservation": [hold["reservation_id"]]}
        ask("SEATS_NONE", "PAY")
        assert ask("SEAT_DUPLICATE", "PAY", reservation=pay["reservation"] * 2)["detail"] == hold["reservation_id"]
        admin.do("CHARGE", user=user, amount=30)
        assert ask("NOT_ENOUGH_POINTS", "PAY", **pay)["detail"] == 40
        admin.do("CHARGE", user=user, amount=40)
        payment = admin.do("PAY", user=user, **pay)
        assert payment["balance"] == 0
        assert ask("ALREADY_PAID", "PAY", **pay)["detail"] == payment["payment_id"]

        ask("PAYMENT_NOT_FOUND", "REFUND", payment_id=99)
        gateway = enrol(house, admin, "gateway")
        token = gateway.do("JOIN", user=user, queue_id=0)["token"]
        gateway.refused("REFUND_CLOSED", "REFUND", request_id=new_id(), token=token, payment_id=payment["payment_id"])
        assert admin.do("REFUND", user=user, payment_id=payment["payment_id"])["balance"] == 70
        ask("ALREADY_REFUNDED", "REFUND", payment_id=payment["payment_id"])
        admin.refused("ALREADY_REFUNDED", "RECEIPT", user=user, payment_id=payment["payment_id"])

        admin.do("SET_POLICY", name="hold_ms", value=1000)
        brief = admin.do("RESERVE", user=user, seat=[2], **show)["hold"][0]
        wait_until("the hold is over", lambda: not admin.ask("HOLDS", user=user)["hold"])
        assert admin.stamp_ms >= brief["until_ms"]
        ask("HOLD_EXPIRED", "PAY", reservation=[brief["reservation_id"]])
        assert admin.ask("BALANCE", user=user)["balance"] == 70


@meets("QUEUE_NOT_FOUND", "CONCERT_NOT_FOUND", "DATE_NOT_FOUND", "PLAN_NOT_FOUND", "POLICY_NOT_FOUND", "POLICY_RANGE",
       "POLICY_CONFLICT", "CATALOGUE_INVALID", "PLAN_IN_USE", "TOO_MANY")
def each_change_of_the_house_that_is_refused_says_why():  # test
    """H10 and section 10: the organiser's requests, with the bound, the limit or the part at fault."""
    with House("--quiet") as house:
        admin = house.admin()
        show = put_date(admin, 1)

        def ask(result, message, **values):
            return admin.refused(result, message, request_id=new_id(), **values)

        def policy(result, name, value, **values):
            return ask(result, "SET_POLICY", **{"name": name, "value": value} | values)["detail"]

        ask("QUEUE_NOT_FOUND", "JOIN", user=new_user(), queue_id=9)
        ask("QUEUE_NOT_FOUND", "SET_MODE", queue_id=9)
        admin.refused("CONCERT_NOT_FOUND", "PLAN", concert_id=9, date_id=1)
        admin.refused("DATE_NOT_FOUND", "PLAN", concert_id=1, date_id=9)
        admin.refused("PLAN_NOT_FOUND", "PLANS", plan_id=9)
        policy("POLICY_NOT_FOUND", "kindness", 1)
        assert policy("POLICY_RANGE", "hold_ms", 999) == 1000
        assert policy("POLICY_RANGE", "seats_per_request", 17) == 16
        assert policy("POLICY_CONFLICT", "active_total_ms", 1000, of_queue="yes") == 0
        ask("CATALOGUE_INVALID", "PUT_CONCERT", concert_id=0, title="none")
        section = {"name": "A", "first_row": 1, "row_count": 1, "seats_per_row": 1}
        assert ask("CATALOGUE_INVALID", "PUT_PLAN", plan_id=2, section=[section, section | {"grade": 8}])["detail"] == 2
        admin.do("RESERVE", user=new_user(), seat=[50], **show)
        assert ask("PLAN_IN_USE", "PUT_PLAN", plan_id=1, section=[section])["detail"] == 1

        # 1,024 queues, the default one among them, and no more.
        asked = [frame(TABLES.messages["PUT_QUEUE"].opcode, 100000 + n, encode(
            "put_queue_request", {"request_id": new_id(), "queue_id": n, "name": f"queue {n}"}))
            for n in range(1, 1024)]
        for at in range(0, len(asked), 500):
            admin.socket.sendall(b"".join(asked[at:at + 500]))
            assert all(admin.receive().aux == 0 for _ in asked[at:at + 500])
        assert ask("TOO_MANY", "PUT_QUEUE", queue_id=5000, name="one more")["detail"] == 1024


@meets("BUSY", "NOT_EXECUTED")
def who_asks_too_much_or_waits_too_little_is_told():  # test
    """Section 6: BUSY says when to ask again; a budget that has run out means that nothing was done."""
    with House("--quiet", "--in-flight-max", "200") as house:
        admin, queues = house.admin(), 0
        assert admin.heard["in_flight_max"] == 200
        met = set()

        def flood():
            """Requests in one piece, more than may be in flight; the later ones have a millisecond."""
            nonlocal queues
            body = [encode("put_queue_request",
                           {"request_id": new_id(), "queue_id": 1, "name": f"name {queues + n}"}) for n in range(400)]
            queues += len(body)
            data = [frame(TABLES.messages["PUT_QUEUE"].opcode, n, part, aux=1 if n > 100 else 0)
                    for n, part in enumerate(body)]
            admin.socket.sendall(b"".join(data))
            seen = set()
            for _ in data:
                reply = admin.receive()
                assert reply.flags == REPLY and reply.request_no not in seen
                seen.add(reply.request_no)
                result = TABLES.result_names[reply.aux]
                if result != "OK":
                    refusal = admin.refusal_of(result, reply)
                    assert result != "BUSY" or refusal["retry_after_ms"] > 0
                    assert result != "NOT_EXECUTED" or reply.request_no > 100, "it had no budget"
                    met.add(result)
                else:
                    assert decode("put_queue_reply", reply.body)["created"] in ("yes", "no")
            return len(met) == 2

        wait_until("there was too much at once, and too little time", flood)


@meets("WATCH_OPEN", "WATCH_LIMIT")
def a_connection_watches_no_more_than_it_may():  # test
    """Section 8: a number names one subscription at a time, and as many may be open as the limit says."""
    with House("--quiet", "--watches-max", "2") as house:
        admin = house.admin()

        def watch(number):
            admin.request_no = number - 1
            return lambda *result: (admin.refused(*result, "WATCH_EVENTS", after_event_no=1 << 40) if result
                                    else admin.ask("WATCH_EVENTS", after_event_no=1 << 40))
        assert watch(1000)()["last_event_no"] > 0
        watch(1000)("WATCH_OPEN")
        watch(1001)()
        assert watch(1002)("WATCH_LIMIT")["detail"] == 2
        assert admin.ask("UNWATCH", subscription=1000) == {"was_open": "yes"}
        assert admin.ask("UNWATCH", subscription=1000) == {"was_open": "no"}
        watch(1002)()


@meets("ROLE_REFUSED", "CONSUMER_NOT_FOUND", "EVENT_NOT_YET", "EVENTS_LOST", "CATALOGUE_INVALID", "TOO_MANY")
def a_consumer_is_told_what_it_has_missed():  # test
    """X5: a consumer goes on from its cursor; what is past the bound is lost to it, and it learns from where."""
    with House("--quiet") as house:
        admin = house.admin()
        observer = enrol(house, admin, "observer")
        made = admin.do("PUT_CONSUMER", consumer="ledger")
        assert made == {"created": "yes", "event_no": 0}
        again = admin.do("PUT_CONSUMER", consumer="ledger", after_event_no=1)
        assert again == {"created": "no", "event_no": 0}
        observer.refused("ROLE_REFUSED", "ACKNOWLEDGE", request_id=new_id(), consumer="ledger", event_no=1)
        admin.refused("CONSUMER_NOT_FOUND", "ACKNOWLEDGE", request_id=new_id(), consumer="nobody", event_no=1)
        last = admin.refused("EVENT_NOT_YET", "ACKNOWLEDGE", request_id=new_id(), consumer="ledger", event_no=1 << 40)
        admin.refused("CATALOGUE_INVALID", "PUT_CONSUMER", request_id=new_id())
        for number in range(63):
            admin.do("PUT_CONSUMER", consumer=f"c{number}")
        assert admin.refused("TOO_MANY", "PUT_CONSUMER", request_id=new_id(), consumer="c63")["detail"] == 64
        assert admin.do("ACKNOWLEDGE", consumer="ledger", event_no=last["detail"]) == {"event_no": last["detail"]}
        page = admin.ask("EVENTS", consumer="ledger")
        assert page["after_event_no"] == last["detail"]
        assert page["event"][0]["event_no"] == last["detail"] + 1

        admin.do("SET_POLICY", name="event_bytes_max", value=4096)
        while admin.ask("EVENTS", after_event_no=(1 << 64) - 1)["first_event_no"] < last["detail"] + 3:
            admin.do("CHARGE", user=new_user(), amount=1)
        admin.do("SET_POLICY", name="event_bytes_max", value=1 << 32)  # from here on nothing is dropped
        first = admin.refused("EVENTS_LOST", "WATCH_EVENTS", consumer="ledger")["detail"]
        row = admin.ask("CONSUMERS", consumer="ledger")["row"][0]
        assert row["event_no"] == last["detail"] and row["lost_count"] >= 2, row
        admin.do("ACKNOWLEDGE", consumer="ledger", event_no=first - 1)
        assert admin.ask("WATCH_EVENTS", consumer="ledger")["after_event_no"] == first - 1
        assert admin.do("REMOVE_CONSUMER", consumer="ledger") == {"event_no": first - 1}
        admin.refused("CONSUMER_NOT_FOUND", "EVENTS", consumer="ledger")


if __name__ == "__main__":
    run(globals())
