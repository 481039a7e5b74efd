"""bridge_dice_test.py: requests that nobody would think of, made from the document's own words by dice.

    bridge_dice_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import json
import random
import re
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import SEASON, Bridge, usherctl
from house import PATIENCE, House, run
from openapi import load, operations, problems, resolve

REQUESTS, SEED = 1500, 20
VALUES = [0, 1, 2, 5, -1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 1.5, 1e300, True, None, "1", "CHARGE", "좌석" * 40,
          "A" * 700, [], {}, [1], [[1]]]
PIECES = ["1", "2", "0", "7", "-1", "x", "99999999999", "charge", "HELD", "%ED%95%9C", "true", ""]
HEADERS = {"Idempotency-Key": ["a", "b", "k" * 64, "k" * 65, "a b"], "If-None-Match": ['"1"', "*", '"x', 'W/"1.2"'],
           "Accept-Language": ["ko", "en", ";;;q=", "ko;q=0.5,en;q=0.4"]}


class Dice:
    def __init__(self, seed, document):
        self.random, self.document = random.Random(seed), document
        self.names = sorted({name for schema in document["components"]["schemas"].values()
                             for name in schema.get("properties", {})})

    def body(self, operation):
        """Mostly the fields that are asked for, some with another value, sometimes one more, one less, or a broken byte."""
        dice = self.random
        schema = resolve(self.document, operation["requestBody"]["content"]["application/json"]["schema"])
        fields = {name: dice.choice([1, 2, [1], [1, 2], 100, "CHARGE"] if dice.random() < 0.7 else VALUES)
                  for name in schema["properties"]}
        if dice.random() < 0.2:
            fields[dice.choice(self.names)] = dice.choice(VALUES)
        if dice.random() < 0.1:
            fields.pop(next(iter(fields)))
        text = json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode()
        if dice.random() < 0.1:
            at = dice.randrange(len(text))
            text = text[:at] + bytes([dice.randrange(256)]) + text[at + 1:]
        return text

    def request(self, path, operation):
        """(path with query, headers)."""
        dice = self.random
        path = re.sub(r"{\w+}", lambda _: dice.choice(PIECES[:-1]), path)
        parameters = [resolve(self.document, one) for one in operation.get("parameters", [])]
        query = [f"{one['name']}={dice.choice(PIECES)}" for one in parameters
                 if one["in"] == "query" and one["name"] != "wait_ms" and dice.random() < 0.8]
        headers = {name: dice.choice(values) for name, values in HEADERS.items() if dice.random() < 0.4}
        return path + ("?" + "&".join(query) if query else ""), headers

    def token(self, token):
        if self.random.random() < 0.9:
            return token
        return self.random.choice(["", "x", token[:-3], "Bearer " + token, "A" * 900])


def whatever_is_asked_is_answered_and_no_answer_is_a_fault():  # test
    """A1 to A7: every answer is one of the document's, in its form; nothing is a 5xx, nothing is lost, nothing leaks."""
    document = load()
    dice, seen = Dice(SEED, document), set()
    choices = [row for row in operations(document) if not row[2]["operationId"].endswith("_events")]
    with House("--quiet") as house:
        usherctl(house, "catalogue", "load", SEASON)
        with Bridge(house, options=("--quiet",)) as bridge:
            users, connection = [bridge.user(number) for number in range(1, 41)], bridge.connect()
            for number in range(REQUESTS):
                path, method, operation = dice.random.choice(choices)
                url, headers = dice.request(path, operation)
                headers["Authorization"] = dice.token(dice.random.choice(users).token)
                body = dice.body(operation) if method == "post" else None
                status, told, answer = bridge.ask(method.upper(), url, body, headers, connection)
                where = (SEED, number, method, url, headers, body, status, answer)
                assert status < 500, where
                if status >= 400:
                    assert told["Content-Type"] == "application/problem+json", where
                    assert not problems(document, document["components"]["schemas"]["Problem"], answer), where
                    seen.add(answer.get("code"))
            connection.close()
            bridge.process.send_signal(signal.SIGTERM)
            assert bridge.process.wait(PATIENCE) == 0
    assert len(seen) > 15, seen


run(globals())
