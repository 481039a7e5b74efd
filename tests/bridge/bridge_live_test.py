"""bridge_live_test.py: streams and long polls of a real bridge.

    bridge_live_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import signal
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import Bridge, RestartableHouse, Stream
from house import PATIENCE, House, put_date, run

SEATS = "/v1/concerts/1/dates/1/seats"
NARROW = {"of_queue": "yes", "queue_id": 0, "name": "active_max", "value": 1}


def a_waiter_is_told_of_its_admission_on_its_stream():  # test
    """T3, Q4: the place comes first, then each change of it, and a place that is over ends the stream."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1)
        admin.do("SET_POLICY", **NARROW)
        with Bridge(house) as bridge:
            ann, bob = bridge.user(1), bridge.user(2)
            with Stream(bob, "/v1/place/events") as stream:
                name, place = stream.next()
                assert name == "place" and (place["state"], place["rank"]) == ("waiting", 1), place
                assert place["stamp_ms"] > 0 and place["next_poll_ms"] > 0, place
                ann.ask("DELETE", "/v1/place")
                name, place = stream.next()
                assert name == "place" and (place["state"], place["rank"]) == ("active", 0), place
                status, _, left = bob.ask("DELETE", "/v1/place")
                assert status == 200 and left["state"] == "left", left
                assert stream.next()[1]["state"] == "left"
                assert stream.next() == ("end", {"reason": "over"})
                assert stream.next() is None


def the_seats_of_a_stream_are_those_of_a_query_after_each_change():  # test
    """C2: first all of them, then what was taken and freed; together they are what SEATS says."""
    with House("--quiet") as house:
        put_date(house.admin(), 1)
        with Bridge(house) as bridge:
            ann, bob = bridge.user(1), bridge.user(2)
            with Stream(bob, f"{SEATS}/events") as stream:
                name, seats = stream.next()
                assert name == "seats" and seats["free"] == [[1, 50]] and seats["free_count"] == 50, seats
                held = ann.post("/v1/holds", {"concert_id": 1, "date_id": 1, "seat": [3, 4, 50]})
                name, change = stream.next()
                assert name == "seat_changes" and change["free_count"] == 47, change
                assert (change["taken"], change["freed"]) == ([[3, 4], [50, 50]], []), change
                ids = [hold["reservation_id"] for hold in held["hold"]]
                ann.post("/v1/holds/release", {"reservation": ids[:1]})
                name, change = stream.next()
                assert (change["taken"], change["freed"]) == ([], [[3, 3]]), change
                now = bob.get(SEATS)
                assert now["free"] == [[1, 3], [5, 49]] and now["version"] == change["version"], (now, change)


def a_hall_of_twenty_thousand_seats_fits_a_stream_and_a_query():  # test
    """C2, C4: in several pages of the wire, with every second seat gone, which no list of ranges makes shorter."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1, sections=((144, 140),))
        odd = list(range(1, 20161, 2))
        for first in range(0, len(odd), 64):
            admin.do("BLOCK", concert_id=1, date_id=1, seat=odd[first:first + 64])
        with Bridge(house) as bridge:
            ann, even = bridge.user(1), list(range(2, 20161, 2))
            ranges = [[seat, seat] for seat in even]
            assert ann.get("/api/concert/seat?concertId=1&dateId=1")["seatId"] == even
            seats = ann.get(SEATS)
            assert (seats["seat_count"], seats["free_count"], seats["free"]) == (20160, 10080, ranges)
            with Stream(ann, f"{SEATS}/events") as stream:
                name, picture = stream.next()
                assert (name, picture["free_count"], picture["free"]) == ("seats", 10080, ranges), name
                ann.post("/v1/holds", {"concert_id": 1, "date_id": 1, "seat": [20160]})
                assert stream.next()[1]["taken"] == [[20160, 20160]]


def a_stream_survives_its_server():  # test
    """X7, C2: the bridge says that it has lost the server, finds it again by itself, and the picture is whole again."""
    with RestartableHouse("--quiet") as house:
        put_date(house.admin(), 1)
        with Bridge(house) as bridge:
            ann = bridge.user(1)
            with Stream(ann, f"{SEATS}/events") as seats, Stream(ann, "/v1/place/events") as place:
                assert seats.next()[0] == "seats" and place.next()[0] == "place"
                house.restart()
                assert seats.next() == ("interrupted", {"reason": "server_lost"})
                name, picture = seats.next()
                assert name == "seats" and picture["free"] == [[1, 50]], picture
                assert place.next() == ("interrupted", {"reason": "server_lost"})
                assert place.next()[1]["state"] == "active"


def a_bridge_that_stops_says_goodbye():  # test
    """X7: streams end with drain, and the bridge with exit code 0."""
    with House("--quiet") as house:
        put_date(house.admin(), 1)
        with Bridge(house) as bridge:
            ann = bridge.user(1)
            with Stream(ann, "/v1/place/events") as stream:
                stream.next()
                bridge.process.send_signal(signal.SIGTERM)
                assert stream.next() == ("end", {"reason": "drain"})
                assert stream.next() is None
            assert bridge.process.wait(PATIENCE) == 0


def a_refused_stream_is_a_problem_with_its_status():  # test
    """Q12, Q13: before the first event there is nothing to end, so a refusal is an answer like any other."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1)
        admin.do("SET_POLICY", **NARROW)
        with Bridge(house) as bridge:
            bridge.user(1)
            bob = bridge.user(2)
            problem = bob.refused(403, "TOKEN_WAITING", "GET", f"{SEATS}/events")
            assert problem["rank"] == 1 and problem["retry_after_ms"] > 0, problem
            bob.token = bob.token[:-4] + ("AAAA" if bob.token[-4:] != "AAAA" else "BBBB")
            bob.refused(401, "TOKEN_FORGED", "GET", "/v1/place/events")


def in_a_moment(what):
    """Run it beside; join() is the caller's."""
    thread = threading.Thread(target=what)
    thread.start()
    return thread


def a_long_poll_waits_for_news_and_no_longer():  # test
    """T3, C2: with the etag that it knows, a client is answered when there is something else, or with 304 in time."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1)
        admin.do("SET_POLICY", **NARROW)
        with Bridge(house) as bridge:
            ann, bob = bridge.user(1), bridge.user(2)
            etag = bob.ask("GET", "/v1/place")[1]["ETag"]
            known = {"If-None-Match": etag}
            assert bob.ask("GET", "/v1/place", headers=known)[0] == 304
            status, headers, body = bob.ask("GET", "/v1/place?wait_ms=30", headers=known)
            assert (status, headers["ETag"], body) == (304, etag, ""), (status, body)
            known_seats = {"If-None-Match": ann.ask("GET", SEATS)[1]["ETag"]}
            assert ann.ask("GET", f"{SEATS}?wait_ms=30", headers=known_seats)[0] == 304
            holding = in_a_moment(lambda: ann.post("/v1/holds", {"concert_id": 1, "date_id": 1, "seat": [1]}))
            status, headers, seats = ann.ask("GET", f"{SEATS}?wait_ms=60000", headers=known_seats)
            holding.join()
            assert status == 200 and seats["free"] == [[2, 50]], seats
            assert headers["ETag"] == ann.ask("GET", SEATS)[1]["ETag"]
            leaving = in_a_moment(lambda: ann.ask("DELETE", "/v1/place"))
            status, _, place = bob.ask("GET", "/v1/place?wait_ms=60000", headers=known)
            leaving.join()
            assert status == 200 and place["state"] == "active", place


def readers_who_leave_take_nothing_along():  # test
    """F5: streams, long polls and requests whose client has gone end by themselves; the bridge stops with nothing left."""
    with House("--quiet") as house:
        put_date(house.admin(), 1)
        with Bridge(house) as bridge:
            ann = bridge.user(1)
            etag = ann.ask("GET", "/v1/place")[1]["ETag"]
            for number in range(60):
                connection = bridge.connect()
                path = ("/v1/place/events", f"{SEATS}/events", "/v1/place?wait_ms=60000", SEATS)[number % 4]
                connection.request("GET", path, headers={"Authorization": ann.token, "If-None-Match": etag})
                if number % 8 < 4:
                    connection.sock.recv(1)if number % 4 != 2 else None
                connection.close()
            assert ann.get("/v1/place")["state"] == "active"
            bridge.process.send_signal(signal.SIGTERM)
            assert bridge.process.wait(PATIENCE) == 0


run(globals())
