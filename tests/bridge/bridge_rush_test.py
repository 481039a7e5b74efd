"""bridge_rush_test.py: the on-sale rush through HTTP.

    bridge_rush_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import collections
import random
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import Bridge, User
from house import House, put_date, run

PEOPLE, SEATS, WORKERS = 500, 50, 25
SEAT = {"concertId": 1, "dateId": 1}


class Rush:
    def __init__(self, bridges, seed):
        self.bridges, self.dice, self.lock = bridges, random.Random(seed), threading.Lock()
        self.codes, self.statuses, self.sold = collections.Counter(), collections.Counter(), {}
        self.here = threading.Barrier(WORKERS)

    def ask(self, user, connection, method, path, body=None):
        status, _, answer = user.ask(method, path, body, connection=connection)
        with self.lock:
            self.statuses[status] += 1
            if status >= 400:
                self.codes[answer.get("code", answer)] += 1
        return status, answer

    def come(self, person, bridge, connection):
        """A token, and points."""
        user = User(bridge, person, connection=connection)
        self.ask(user, connection, "POST", "/api/concert/point", {"userId": person, "point": 100, "status": "CHARGE"})
        return user

    def buy(self, user, connection):
        """Any free seat until it is bought or there is none."""
        while True:
            status, seats = self.ask(user, connection, "GET", "/api/concert/seat?concertId=1&dateId=1")
            if status != 200 or not seats["seatId"]:
                return
            wish = {"userId": user.id, **SEAT, "seatId": self.dice.choice(seats["seatId"])}
            status, held = self.ask(user, connection, "POST", "/api/concert/reservation", wish)
            if status == 200:
                break
        status, paid = self.ask(user, connection, "POST", "/api/concert/payment", wish)
        if status == 200:
            assert paid["status"] == "COMPLETE" and paid["total"] == 100, paid
            with self.lock:
                assert held["seatId"] not in self.sold, f"seat {held['seatId']} was sold twice"
                self.sold[held["seatId"]] = user.id

    def work(self, number):
        bridge = self.bridges[number % len(self.bridges)]
        connection = bridge.connect()
        users = [self.come(person, bridge, connection) for person in range(1 + number, PEOPLE + 1, WORKERS)]
        self.here.wait()
        for user in users:
            self.buy(user, connection)
        connection.close()

    def run(self):
        workers = [threading.Thread(target=self.work, args=(number,)) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def five_hundred_people_buy_fifty_seats_through_two_bridges():  # test
    """S5, R3, H2: exactly fifty are sold, every refusal is one that the house means, and nothing is a fault of anybody."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1, price=100)
        admin.do("SET_POLICY", of_queue="yes", queue_id=0, name="admit_batch", value=PEOPLE)
        with Bridge(house) as first, Bridge(house) as second:
            rush = Rush((first, second), seed=20)
            rush.run()
            info = admin.ask("INFO")
    assert len(rush.sold) == SEATS and len(set(rush.sold.values())) == SEATS, rush.sold
    assert (info["sold_count"], info["payment_count"], info["hold_count"]) == (SEATS, SEATS, 0), info
    assert info["sales"] == SEATS * 100 and info["top_ups"] == -PEOPLE * 100 and info["ledger_sum"] == 0, info
    assert set(rush.codes) <= {"HELD", "SOLD", "SOLD_OUT"}, rush.codes
    assert set(rush.statuses) <= {200, 409}, rush.statuses
    assert rush.statuses[409] == sum(rush.codes.values()) and rush.codes["HELD"] + rush.codes["SOLD"] > 0, rush.codes
    print(dict(rush.codes), dict(rush.statuses))


run(globals())
