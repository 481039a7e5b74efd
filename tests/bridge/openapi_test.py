"""openapi_test.py: apps/http-bridge/openapi.json is what it says it is: OpenAPI 3.1, whole, and true to itself.

    openapi_test.py USHERD NAME     runs the test of that name, as CTest does; usherd is not needed here
"""
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from house import run
from openapi import METHODS, check_schema, examples, load, operations, problems, resolve


def every_reference(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value
        for inner in value.values():
            yield from every_reference(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from every_reference(inner)


def the_document_is_whole():  # test
    """A1 to A7: what OpenAPI 3.1 asks of a document: references that lead somewhere, names that are there once, parameters
    that stand in their path, an answer for each operation."""
    document = load()
    assert document["openapi"] == "3.1.0" and {"title", "version"} <= set(document["info"])
    for reference in every_reference(document):
        resolve(document, reference)
    tags = {tag["name"] for tag in document["tags"]}
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)), names
    for path, method, operation in operations(document):
        assert path.startswith("/") and method in METHODS, (path, method)
        assert operation["summary"] and operation["description"] and set(operation["tags"]) <= tags, path
        parameters = [resolve(document, one) for one in operation.get("parameters", [])]
        in_path = {one["name"] for one in parameters if one["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)), path
        assert all(one["required"] for one in parameters if one["in"] == "path"), path
        assert all(one["in"] in ("path", "query", "header") and one["schema"] and one["description"]
                   for one in parameters), path
        assert "default" in operation["responses"] and any(key[0] == "2" for key in operation["responses"]), path
        assert all(resolve(document, response)["description"] for response in operation["responses"].values()), path
        for scheme in operation["security"]:
            assert set(scheme) <= set(document["components"]["securitySchemes"]), path
        assert (method == "post") == ("requestBody" in operation), path


def every_schema_is_one_that_the_tests_understand():  # test
    """A1 to A7: no rule of a schema is passed over in silence when an answer is held against it."""
    document = load()
    for name, schema in document["components"]["schemas"].items():
        check_schema(document, schema, name)
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            check_schema(document, resolve(document, parameter)["schema"], path)
        for response in operation["responses"].values():
            for content in resolve(document, response).get("content", {}).values():
                check_schema(document, content["schema"], path)


def the_judge_finds_what_is_wrong():  # test
    """A1 to A7: the judge of the other tests is not blind: each of these is found."""
    document = load()
    for schema, value in (
            ({"type": "integer"}, True), ({"type": ["integer", "null"]}, "1"), ({"const": "APPLY"}, "COMPLETE"),
            ({"enum": [1, 2]}, 3), ({"minimum": 0}, -1), ({"maximum": 5}, 6), ({"pattern": "^a+$"}, "ab"),
            ({"maxLength": 2}, "abc"), ({"minItems": 1}, []), ({"maxItems": 0}, [1]), ({"required": ["a"], "properties": {"a": {}}}, {}),
            ({"additionalProperties": False, "properties": {"a": {}}}, {"b": 1}),
            ({"properties": {"a": {"type": "string"}}}, {"a": 1}), ({"items": {"type": "string"}}, ["a", 2]),
            ({"oneOf": [{"type": "integer"}, {"minimum": 0}]}, 1), ({"$ref": "#/components/schemas/UserId"}, "ann")):
        assert problems(document, schema, value), (schema, value)
        check_schema(document, schema, "here")


def events_of(text):
    for block in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        if "event" in lines:
            yield lines["event"], json.loads(lines["data"])


def every_example_has_the_form_that_its_schema_describes():  # test
    """A1 to A7: each operation shows an answer, each example fits its schema and its request the operation's."""
    document = load()
    shown, orders = set(), []
    for path, method, operation, status, media, name, example in examples(document):
        where = f"{method} {path} {status} {name}"
        request = example["x-request"]
        orders.append(example["x-order"])
        if status[0] == "2":
            shown.add(operation["operationId"])
        assert set(request.get("path", {})) == set(re.findall(r"{(\w+)}", path)), where
        known = {one["name"] for one in (resolve(document, p) for p in operation.get("parameters", []))}
        assert set(request.get("query", {})) <= known, where
        assert ("body" in request) == (method == "post"), where
        if media is None:
            continue
        response = resolve(document, operation["responses"][status])
        content = response["content"][media]
        assert not problems(document, content["schema"], example["value"]), (
            where, problems(document, content["schema"], example["value"]))
        for event, data in events_of(example["value"]) if media == "text/event-stream" else ():
            schema = content["x-events"][event]["schema"]
            assert not problems(document, schema, data), (where, problems(document, schema, data))
        if media == "application/problem+json":
            code = example["value"]["code"]
            assert example["value"]["status"] == int(status), where
            assert code in operation["x-codes"], f"{where}: x-codes does not name {code}"
    assert orders == sorted(set(orders)), "two examples have one place in the journey"
    assert shown == {operation["operationId"] for _, _, operation in operations(document)} - {"openapi"}, shown


def every_event_of_a_stream_is_described_with_an_example():  # test
    """T3: the names of a stream's events, their data and an example of each are in the document."""
    document = load()
    streams = 0
    for path, _, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
        if content is None:
            continue
        streams += 1
        for name, event in content["x-events"].items():
            assert event["description"], (path, name)
            check_schema(document, event["schema"], path)
            assert not problems(document, event["schema"], event["example"]), (path, name)
    assert streams == 2


run(globals())
