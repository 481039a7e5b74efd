"""python_binding_test.py: the binding in client-sdk/bindings/python against a real usherd.

    USHER_LIBRARY=libusher.so python_binding_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import ctypes
import os
import selectors
import sys
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "conformance"), str(HERE.parents[1] / "client-sdk" / "bindings" / "python")]

import usher
from house import PATIENCE, House, put_date, run


def shop_of(house):
    return usher.Client(house.data / "admin.key", server=f"127.0.0.1:{house.port}", timeout_ms=30000)


def a_ticket_is_bought_from_python():  # test
    """T1, R1, B1, M10: from the place in the queue to the ticket at the gate, by ctypes alone."""
    with House("--quiet") as house:
        put_date(house.admin(), 1, price=2500)
        user = uuid.uuid4()
        with shop_of(house) as shop:
            assert shop.role == "admin"
            place = shop.join(user=user, queue_id=0)
            assert place.state == "active" and place.rank == 0, place
            assert shop.seats(place.token, 1, 1) == list(range(1, 51))
            held = shop.reserve(place.token, 1, 1, seats=[7, 8])
            assert [hold.seat_no for hold in held.hold] == [7, 8]
            assert 7 not in shop.seats(place.token, 1, 1)
            assert shop.charge(place.token, 6000).balance == 6000
            paid = shop.pay(place.token, held.hold)
            assert (paid.amount, paid.balance) == (5000, 1000), paid
            library, key = shop.library, shop.server_key
    ticket = library.verify_ticket(key, paid.receipt)
    assert ticket.user == user and [seat.seat_no for seat in ticket.seat] == [7, 8], ticket
    changed = paid.receipt[:-1] + bytes([paid.receipt[-1] ^ 1])
    assert library.verify_ticket(key, changed) is None


def a_refusal_is_an_exception_from_python():  # test
    """H1, H2, M3: Refused has the result's name, when to ask again and the seats in the way; a retry is replayed."""
    with House("--quiet") as house:
        put_date(house.admin(), 1)
        with shop_of(house) as shop:
            first, second = shop.join(), shop.join()
            again = shop.library.new_id()
            held = shop.reserve(first.token, 1, 1, seats=[4], request_id=again)
            assert not shop.answer.replayed
            assert shop.reserve(first.token, 1, 1, seats=[4], request_id=again) == held and shop.answer.replayed
            try:
                shop.reserve(second.token, 1, 1, seats=[4])
            except usher.Refused as no:
                assert no.name == "HELD" and no.retry_after_ms > 0, no
                assert [conflict.seat_no for conflict in no.refusal.conflict] == [4], no.refusal
            else:
                raise AssertionError("a held seat was given twice")
        try:
            usher.Client(house.folder / "none.key", server=f"127.0.0.1:{house.port}")
        except usher.Unanswered as no:
            assert no.status == "key_file", no
        else:
            raise AssertionError("there was no key file")


def a_selector_drives_the_asynchronous_client_from_python():  # test
    """C2, R1, H2: calls and pushes come by callback, each once, when the descriptor is readable and not before."""
    with House("--quiet") as house:
        put_date(house.admin(), 1)
        with shop_of(house) as shop:
            places = [shop.join() for _ in range(3)]
        loop, told, events = selectors.DefaultSelector(), [], []
        client = usher.AsyncClient(house.data / "admin.key", server=f"127.0.0.1:{house.port}", timeout_ms=30000)
        loop.register(client, selectors.EVENT_READ)

        def turn_until(condition):
            while not condition():
                assert loop.select(PATIENCE), "nothing came"
                client.process()

        show = {"concert_id": 1, "date_id": 1}
        watch = client.watch("watch_seats", events.append, token=places[2].token, **show)
        turn_until(lambda: any(event.name == "seats" for event in events))
        for place in places[:2]:
            client.call("reserve", lambda *end: told.append(end), token=place.token, seat=[9], **show)
        turn_until(lambda: len(told) == 2 and any(event.name == "seat_changes" for event in events))
        assert [event.kind for event in events] == ["started", "push", "push"], events
        assert events[2].body.block[0].free == ((1 << 50) - 1) ^ (1 << 8), events[2]
        (held, none), (nothing, no) = sorted(told, key=lambda end: end[1] is not None)
        assert none is None and [hold.seat_no for hold in held.hold] == [9]
        assert nothing is None and isinstance(no, usher.Refused) and no.name == "HELD", no
        client.unwatch(watch)
        turn_until(lambda: events[-1].kind == "ended")
        client.call("ping", lambda *end: told.append(end))
        loop.close()
        client.close()
        assert len(told) == 3 and isinstance(told[2][1], usher.Unanswered), told


def every_struct_lies_where_the_library_says():  # test
    """Each struct of usher_abi_describe() is built by ctypes with its offsets and its size; another is refused."""
    library = usher.Library(os.environ["USHER_LIBRARY"])
    for name, layout in library.layouts.items():
        assert ctypes.sizeof(library.struct(name)) == layout["size"], name
    library.types.clear()
    library.layouts["usher_join_request"]["fields"][1]["offset"] += 1
    try:
        library.struct("usher_join_request")
    except ImportError:
        return
    raise AssertionError("a field that lies elsewhere was not noticed")


if __name__ == "__main__":
    run(globals())
