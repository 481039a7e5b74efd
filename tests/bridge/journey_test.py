"""journey_test.py: every example of apps/http-bridge/openapi.json, in its order, against a real usher-http and usherd.

    journey_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import SEASON, Bridge, events, usherctl
from house import PATIENCE, House, run
from openapi import examples, load, problems, resolve

# What is another value in each run, or follows from the sample season's other concerts.
VARIES = re.compile(r"(^|\.)(\w*_ms|token|receipt|position|version|rank|service_key|\w*event_no|availableDates|title|venue"
                    r"|refund_until_ms|date_count|field)(\[\d+\])?$")


def differences(example, answer, where="$"):
    """Where an answer is not what the example shows: names, kinds, lengths, and values that do not vary."""
    if type(example) is not type(answer):
        kinds = {type(example), type(answer)}
        return [] if kinds == {int, type(None)} and VARIES.search(where) else [f"{where}: {answer!r}, not {example!r}"]
    if isinstance(example, dict):
        if list(example) != list(answer):
            return [f"{where}: {list(answer)}, not {list(example)}"]
        return [line for name in example for line in differences(example[name], answer[name], f"{where}.{name}")]
    if isinstance(example, list):
        if len(example) != len(answer):
            return [f"{where}: {len(answer)} of them, not {len(example)}"]
        return [line for i, one in enumerate(example) for line in differences(one, answer[i], f"{where}[{i}]")]
    return [] if example == answer or VARIES.search(where) else [f"{where}: {answer!r}, not {example!r}"]


class Journey:
    def __init__(self, document, bridge):
        self.document, self.bridge, self.saved = document, bridge, {}

    def put_in(self, value):
        """$names of x-save become what was saved."""
        if isinstance(value, dict):
            return {name: self.put_in(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.put_in(inner) for inner in value]
        if isinstance(value, str) and value.startswith("$"):
            return self.saved[value[1:]]
        if isinstance(value, str) and " $" in value:
            word, name = value.split(" $")
            return f"{word} {self.saved[name]}"
        return value

    def save(self, names, headers, answer):
        for name, place in names.items():
            found = answer
            for step in place.split(".") if place != "ETag" else ():
                found = found[int(step) if step.isdigit() else step]
            self.saved[name] = headers["ETag"] if place == "ETag" else found

    def request(self, path, request):
        for name, value in request.get("path", {}).items():
            path = path.replace("{" + name + "}", str(self.put_in(value)))
        query = "&".join(f"{name}={value}" for name, value in request.get("query", {}).items())
        return path + ("?" + query if query else ""), self.put_in(request.get("headers", {}))

    def stream(self, url, headers, example):
        """The first events of a stream: as many as the example has."""
        connection = self.bridge.connect()
        connection.request("GET", url, headers=headers)
        response = connection.getresponse()
        assert response.status == 200 and response.headers["Content-Type"] == "text/event-stream", response.status
        got, wanted = [], list(events(example.splitlines(keepends=True)))
        for event in events(iter(response.readline, b"")):
            got.append(event)
            if len(got) >= len(wanted):
                break
        connection.close()
        assert [name for name, _ in got] == [name for name, _ in wanted], got
        return [line for one, other in zip(wanted, got) for line in differences(one[1], other[1])]

    def step(self, path, method, status, media, example):
        """What is wrong with one answer."""
        url, headers = self.request(path, example["x-request"])
        if media == "text/event-stream":
            return self.stream(url, headers, example["value"])
        got, told, answer = self.bridge.ask(method.upper(), url, self.put_in(example["x-request"].get("body")), headers)
        if got != int(status):
            return [f"{got} {answer}, not {status}"]
        if media is None:
            return [] if answer == "" else [f"a body with 304: {answer}"]
        assert told["Content-Type"] == media, told
        if media == "image/svg+xml":
            assert answer.startswith(example["value"].split("viewBox")[0]) and answer.endswith("</svg>\n"), answer
            return []
        schema = resolve(self.document, resolve(self.document, self.operation["responses"][status])["content"][media]["schema"])
        self.save(example.get("x-save", {}), told, answer)
        return problems(self.document, schema, answer) + differences(example["value"], answer)


def every_example_is_answered_as_the_document_shows():  # test
    """A1 to A7: the document's examples are a journey of three people, and each answer has exactly the shown form."""
    document = load()
    with House("--quiet") as house:
        usherctl(house, "catalogue", "load", SEASON)
        usherctl(house, "queue", "pause", "2")
        with Bridge(house) as bridge:
            journey, seen, all_wrong = Journey(document, bridge), 0, []
            for path, method, operation, status, media, name, example in examples(document):
                journey.operation, end = operation, time.monotonic() + PATIENCE
                wrong = journey.step(path, method, status, media, example)
                while wrong and operation["operationId"] == "history" and time.monotonic() < end:  # it follows payments
                    time.sleep(0.01)
                    wrong = journey.step(path, method, status, media, example)
                all_wrong += [f"{operation['operationId']} {name}: {line}" for line in wrong]
                seen += 1
            assert not all_wrong, "\n".join(["", *all_wrong])
            assert seen == len(examples(document)) >= 60, seen
            status, _, served = bridge.ask("GET", "/openapi.json")
            assert status == 200 and served == document


run(globals())
