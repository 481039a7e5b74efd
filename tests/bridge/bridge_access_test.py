"""bridge_access_test.py: who may ask a bridge for what, in which words it refuses, and what it keeps of the catalogue.

    bridge_access_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bridge import BUILD, Bridge, usherctl
from house import House, put_date, run

KEY = "correct-horse-battery-staple-and-more"
JOIN = ("POST", "/v1/queues/0/places", {"user": 1})


def write(folder, name, text, mode=0o600):
    path = Path(folder) / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def base64url(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def assertion(login, jti, sub="1", aud="tickets.example", life=60):
    now = int(time.time())
    claims = {"sub": sub, "aud": aud, "iat": now, "exp": now + life, "jti": jti}
    signed = base64url(b'{"alg":"EdDSA"}') + b"." + base64url(json.dumps(claims).encode())
    return {"Shop-Assertion": (signed + b"." + base64url(login.sign(signed))).decode()}


def refuses(bridge, status, code, headers=(), ask=JOIN):
    got, told, answer = bridge.ask(*ask, headers=headers)
    assert (got, answer["code"]) == (status, code), (got, answer)
    assert (status == 401) == ("WWW-Authenticate" in told), told


def only_the_shop_and_its_logins_users_get_tokens():  # test
    """A1: by the shop's key, or by an assertion of its login, once and for its own user; on loopback too once one is named."""
    login = Ed25519PrivateKey.generate()
    public = login.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    with tempfile.TemporaryDirectory() as folder, House("--quiet") as house:
        put_date(house.admin(), 1)
        options = ("--shop-key", write(folder, "shop.key", KEY + "\n"), "--login-key",
                   write(folder, "login.pub", public, 0o644), "--audience", "tickets.example")
        with Bridge(house, options=options) as bridge:
            refuses(bridge, 401, "SHOP_KEY_MISSING")
            refuses(bridge, 401, "SHOP_KEY_MISSING", ask=("GET", "/api/concert/token/1"))
            refuses(bridge, 401, "SHOP_KEY_WRONG", {"Shop-Key": KEY[:-1]})
            refuses(bridge, 401, "SHOP_KEY_WRONG", {"Shop-Key": KEY + "x"})
            assert bridge.ask(*JOIN, headers={"Shop-Key": KEY})[0] == 201
            once = assertion(login, "a")
            assert bridge.ask(*JOIN, headers=once)[0] == 201
            refuses(bridge, 401, "ASSERTION_REPLAYED", once)
            refuses(bridge, 403, "ASSERTION_OTHER_USER", assertion(login, "b", sub="2"))
            refuses(bridge, 401, "ASSERTION_INVALID", assertion(login, "b", aud="other.example"))
            refuses(bridge, 401, "ASSERTION_EXPIRED", assertion(login, "b", life=121))
            refuses(bridge, 401, "ASSERTION_INVALID", assertion(Ed25519PrivateKey.generate(), "b"))
            status, _, answer = bridge.ask("GET", "/api/concert/token/1", headers=assertion(login, "c"))
            assert status == 200 and answer["userId"] == 1, answer


def an_open_bridge_answers_to_local_names_alone():  # test
    """A1: a page whose name was turned to 127.0.0.1 sends its own name in Host, and gets no token."""
    with House("--quiet") as house, Bridge(house) as bridge:
        refuses(bridge, 401, "SHOP_KEY_MISSING", {"Host": "evil.example"})
        refuses(bridge, 401, "SHOP_KEY_MISSING", {"Host": "localhost.evil.example"})
        for host in ("localhost", f"localhost:{bridge.port}", f"127.0.0.1:{bridge.port}", "[::1]:1"):
            assert bridge.ask(*JOIN, headers={"Host": host})[0] == 201, host


def a_listed_origin_may_send_an_assertion_and_never_the_shops_key():  # test
    """A1: the shop's page on another origin joins with its login's word; the shop's key is for its servers alone."""
    shop = {"Origin": "https://shop.example"}
    with House("--quiet") as house, Bridge(house, options=("--cors", "https://shop.example")) as bridge:
        asked = {**shop, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "shop-assertion"}
        status, headers, _ = bridge.ask("OPTIONS", JOIN[1], headers=asked)
        allowed = headers["Access-Control-Allow-Headers"]
        assert status == 204 and "Shop-Assertion" in allowed and "Shop-Key" not in allowed, (status, allowed)
        status, headers, _ = bridge.ask(*JOIN, headers=shop)
        assert status == 201 and headers["Access-Control-Allow-Origin"] == "https://shop.example", headers
        assert "Idempotency-Replayed" in headers["Access-Control-Expose-Headers"], headers
        assert "Access-Control-Allow-Origin" not in bridge.ask(*JOIN, headers={"Origin": "https://other.example"})[1]


def ends_with(house, code, words, *options):
    done = subprocess.run([BUILD / "apps" / "http-bridge" / "usher-http", "--key", house.data / "admin.key",
                           "--operations", "off", "--listen", "127.0.0.1:0", *options],
                          capture_output=True, text=True, timeout=60)
    said = done.stderr.strip()
    assert done.returncode == code and words in said and "\n" not in said, (done.returncode, said)


def a_bridge_does_not_start_open_to_others():  # test
    """A1: nor with a key that others can read, that is too short, or with a login that names no audience."""
    with tempfile.TemporaryDirectory() as folder, House("--quiet") as house:
        ends_with(house, 64, "name --shop-key", "--listen", "0.0.0.0:0")
        ends_with(house, 64, "name --shop-key", "--listen", "[::]:0")
        ends_with(house, 77, "chmod 600", "--shop-key", write(folder, "a", KEY, 0o640))
        ends_with(house, 77, "shorter than 32", "--shop-key", write(folder, "b", "k" * 31))
        ends_with(house, 77, "one line", "--shop-key", write(folder, "c", "k" * 257))
        ends_with(house, 77, "can't read", "--shop-key", f"{folder}/none")
        ends_with(house, 77, "64 hex digits", "--login-key", write(folder, "d", "ab"), "--audience", "x")
        ends_with(house, 64, "--audience", "--login-key", write(folder, "e", "ab" * 32))
        ends_with(house, 64, "--zone", "--zone", "Seoul")
        with Bridge(house, options=("--listen", "0.0.0.0:0", "--shop-key", write(folder, "f", "k" * 32))) as bridge:
            refuses(bridge, 401, "SHOP_KEY_MISSING")


def a_bridge_with_a_gateways_key_serves_everything_a_user_needs():  # test
    """A1 to A7: it holds no more than a gateway's role: an own key, enrolled with a one-time code."""
    with tempfile.TemporaryDirectory() as folder, House("--quiet") as house:
        put_date(house.admin(), 1, price=100)
        key = f"{folder}/gateway.key"
        invited = usherctl(house, "client", "invite", "gateway", "bridge")
        usherctl(house, "client", "enrol", re.search("[0-9a-f]{64}", invited)[0], key)
        with Bridge(house, key=key) as bridge:
            ann, seat = bridge.user(1), {"userId": 1, "concertId": 1, "dateId": 1, "seatId": 5}
            assert ann.get("/api/concert/date?concertId=1")["dateId"] == [1]
            assert len(ann.get("/api/concert/seat?concertId=1&dateId=1")["seatId"]) == 50
            ann.post("/api/concert/reservation", seat)
            ann.post("/api/concert/point", {"userId": 1, "point": 100, "status": "CHARGE"})
            assert ann.post("/api/concert/payment", seat)["total"] == 100


def problems_are_said_in_the_language_of_the_client():  # test
    """Q12: the code stays, the words change."""
    with House("--quiet") as house, Bridge(house) as bridge:
        ann = bridge.user(1)
        path = "/v1/concerts/9/dates"
        english = ann.refused(404, "CONCERT_NOT_FOUND", "GET", path)
        korean = ann.refused(404, "CONCERT_NOT_FOUND", "GET", path, headers={"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8"})
        assert english["title"] == "there is no such concert" and korean["title"] == "그런 공연이 없습니다"
        row = bridge.ask("GET", korean["type"])[2]
        assert row["title"] == {"en": english["title"], "ko": korean["title"]}, row
        assert bridge.ask("GET", "/problems/NO_SUCH")[2]["code"] == "PROBLEM_NOT_FOUND"


def a_change_of_the_catalogue_shows_at_once():  # test
    """C3: who keeps the list asks whether it has changed, and gets 304 or the new list at every bridge."""
    with House("--quiet") as house:
        admin = house.admin()
        put_date(admin, 1)
        with Bridge(house) as first, Bridge(house) as second:
            status, headers, answer = first.ask("GET", "/v1/concerts")
            assert status == 200 and headers["Cache-Control"] == "private, no-cache", headers
            known = {"If-None-Match": f'"other", W/{headers["ETag"]}'}
            assert first.ask("GET", "/v1/concerts", headers=known)[0] == 304
            assert second.ask("GET", "/v1/concerts", headers=known)[0] == 304
            admin.do("PUT_CONCERT", concert_id=1, queue_id=0, title="Another evening", venue="Town Hall")
            for bridge in (first, second):
                status, _, answer = bridge.ask("GET", "/v1/concerts", headers=known)
                assert status == 200 and answer["concert"][0]["title"] == "Another evening", answer


def bad_requests_get_one_clear_line():  # test
    """A4, A7: what was wrong, where, and nothing is done."""
    with House("--quiet") as house:
        put_date(house.admin(), 1)
        with Bridge(house) as bridge:
            ann = bridge.user(1)
            for status, code, words, body, headers in (
                    (400, "JSON_INVALID", "1:", "{", {}), (400, "JSON_INVALID", "object", "[1]", {}),
                    (415, "MEDIA_TYPE_UNSUPPORTED", "application/json", "{}", {"Content-Type": "text/plain"}),
                    (422, "FIELD_INVALID", "amount: is missing", "{}", {}),
                    (422, "FIELD_INVALID", "amounts: there is no such field", '{"amounts":1}', {}),
                    (422, "FIELD_INVALID", "amount: is not a whole number", '{"amount":1.5}', {}),
                    (422, "FIELD_INVALID", "amount: is not a whole number", '{"amount":9007199254740992}', {}),
                    (422, "AMOUNT_INVALID", "amount", '{"amount":-1}', {}),
                    (400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key", '{"amount":1}', {"Idempotency-Key": "k" * 65})):
                problem = ann.refused(status, code, "POST", "/v1/charges", body, headers=headers)
                assert words in problem["detail"], problem
            ann.refused(422, "FIELD_INVALID", "GET", "/v1/history?after=1")
            ann.refused(422, "FIELD_INVALID", "GET", "/v1/place?wait_ms=60001")
            ann.refused(422, "FIELD_INVALID", "GET", "/api/concert/seat?concertId=1&dateId=4294967296")
            ann.refused(422, "FIELD_INVALID", "GET", "/v1/requests/balance/k")
            ann.refused(403, "TOKEN_OTHER_USER", "GET", "/api/concert/balance?userId=2")
            ann.refused(404, "PAYMENT_NOT_FOUND", "GET", "/v1/payments/1/ticket.svg")
            assert ann.get("/v1/balance")["balance"] == 0


def without_a_server_a_request_is_refused_and_nothing_is_done():  # test
    """X3: 503 with the time after which to ask again; a request that was never sent is said to be so."""
    with House("--quiet") as house, Bridge(house, options=("--timeout-ms", "300")) as bridge:
        put_date(house.admin(), 1)
        ann = bridge.user(1)
        house.process.kill()
        house.process.wait()
        status, headers, problem = ann.ask("POST", "/v1/charges", {"amount": 5}, key="once")
        assert status == 503 and problem["code"] in ("SERVER_UNREACHABLE", "MAYBE_APPLIED"), problem
        assert int(headers["Retry-After"]) >= 1 and headers["Idempotency-Key"] == "once", headers
        status, _, problem = ann.ask("GET", "/v1/balance")
        assert status == 503 and problem["code"] in ("SERVER_UNREACHABLE", "NO_ANSWER"), problem


run(globals())
