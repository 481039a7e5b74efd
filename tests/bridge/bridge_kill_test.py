"""bridge_kill_test.py: bridges and servers that are killed in the middle of purchases.

    bridge_kill_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import http.client
import random
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import Bridge, RestartableHouse, SecondServer, Stream
from house import PATIENCE, House, put_date, run, wait_until

BUYERS, REQUESTS = 40, 3 * 40
GONE = (http.client.HTTPException, ConnectionError, TimeoutError)


class Progress:
    """How many requests were answered, for who kills something in the middle of them."""

    def __init__(self):
        self.count, self.changed = 0, threading.Condition()

    def step(self):
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: self.count >= count, PATIENCE), (self.count, count)


def insist(user, method, path, body, key):
    """Ask with the same key until there is an answer, as a client does whose bridge has gone."""
    end = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < end, (method, path, "was never answered")
        try:
            status, headers, answer = user.ask(method, path, body, key)
        except GONE:
            time.sleep(0.005)
            continue
        if status != 503:
            assert status in (200, 201), (path, status, answer)
            return answer
        assert answer["code"] != "MAYBE_APPLIED" or answer["idempotency_key"] == key, answer


def purchase(user, number, progress):
    """A purchase under keys of its own; what it paid."""
    seat = {"concert_id": 1, "date_id": 1, "seat": [number]}
    insist(user, "POST", "/v1/charges", {"amount": 1000}, f"charge-{number}")
    progress.step()
    held = insist(user, "POST", "/v1/holds", seat, f"hold-{number}")
    progress.step()
    paid = insist(user, "POST", "/v1/payments", {"reservation": [held["hold"][0]["reservation_id"]]}, f"pay-{number}")
    progress.step()
    return paid


def check_books(admin, users, paid):
    """Everybody was charged once and paid once, whatever was asked again."""
    info = admin.ask("INFO")
    assert (info["payment_count"], info["sold_count"], info["hold_count"]) == (BUYERS, BUYERS, 0), info
    assert (info["top_ups"], info["sales"], info["ledger_sum"]) == (-1000 * BUYERS, 100 * BUYERS, 0), info
    assert len({answer["payment_id"] for answer in paid}) == BUYERS
    for user in users:
        assert user.get("/v1/balance")["balance"] == 900


def buy_while(kill, seed, users):
    """Everybody buys at once, and after every few answers something is killed while the others are under way."""
    dice, progress, paid = random.Random(seed), Progress(), [None] * BUYERS

    def buy(number):
        paid[number] = purchase(users[number], number + 1, progress)

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(BUYERS)]
    for thread in threads:
        thread.start()
    count = dice.randint(1, 10)
    while count < REQUESTS:
        progress.wait_for(count)
        kill()
        count += dice.randint(8, 24)
    for thread in threads:
        thread.join()
    assert all(paid), paid
    return paid


def a_bridge_killed_at_any_moment_moves_no_money_twice():  # test
    """M3, X3: repeated under its key at the bridge that came after, each request is carried out once."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1, price=100)
        with Bridge(house) as bridge:
            users = [bridge.user(number + 1) for number in range(BUYERS)]
            check_books(admin, users, buy_while(bridge.restart, 6, users))


def a_server_killed_in_mid_purchase_is_waited_for():  # test
    """X3, M3: the bridge connects anew by itself and asks again under the same ids."""
    with RestartableHouse("--quiet") as house:
        put_date(house.admin(), 1, price=100)
        with Bridge(house) as bridge:
            users = [bridge.user(number + 1) for number in range(BUYERS)]
            paid = buy_while(house.restart, 7, users)
            check_books(house.admin(), users, paid)


def a_bridge_goes_on_at_the_next_server():  # test
    """X4, X7: with several servers of one house, the loss of one costs a stream an interruption and a request nothing."""
    with House("--quiet") as house, SecondServer(house) as second:
        put_date(house.admin(), 1, price=100)
        with Bridge(house, second) as bridge:
            ann, bob = bridge.user(1), bridge.user(2)
            path = "/v1/concerts/1/dates/1/seats"
            with Stream(bob, path + "/events") as stream:
                assert stream.next()[0] == "seats"
                house.process.kill()
                house.process.wait()
                held = ann.post("/v1/holds", {"concert_id": 1, "date_id": 1, "seat": [50]})
                assert held["hold"][0]["price"] == 100, held
                assert stream.next() == ("interrupted", {"reason": "server_lost"})
                picture = stream.next()[1]
                while picture["free_count"] == 50:  # it was whole before the hold, so the hold follows
                    picture = stream.next()[1]
                assert picture["free_count"] == 49, picture
                assert bob.get(path)["free"] == [[1, 49]]


def a_bridge_that_dies_leaves_no_seat_held_past_its_deadline():  # test
    """R2, H1: the hold is the house's, not the bridge's: at its deadline the seat is free, whoever died."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1)
        admin.do("SET_POLICY", of_queue="no", queue_id=0, name="hold_ms", value=1000)
        with Bridge(house) as dying, Bridge(house) as other:
            ann, bob = dying.user(1), other.user(2)
            held = ann.post("/v1/holds", {"concert_id": 1, "date_id": 1, "seat": [7]})
            dying.process.kill()
            seats = bob.get("/v1/concerts/1/dates/1/seats")
            assert seats["free"] == [[1, 6], [8, 50]], seats
            def free_again():
                seats = bob.get("/v1/concerts/1/dates/1/seats")
                assert seats["stamp_ms"] < held["until_ms"] or seats["free"] == [[1, 50]], (held, seats)
                return seats["free"] == [[1, 50]]
            wait_until("the hold is over", free_again)


run(globals())
