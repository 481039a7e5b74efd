"""openapi.py: apps/http-bridge/openapi.json for the tests: its operations, its examples, and a judge of JSON against its
schemas, in Python's standard library alone.

The judge knows the words of JSON Schema that the document uses; another word fails check_schema(), so that no rule of
the document is passed over in silence.
"""
import json
import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "apps" / "http-bridge" / "openapi.json"
METHODS = ("get", "post", "delete")


def once(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a name stands twice: {names}"
    return dict(pairs)


def load():
    return json.loads(DOCUMENT.read_text(), object_pairs_hook=once)


def resolve(document, value):
    """What a $ref leads to, or the value itself."""
    while isinstance(value, dict) and "$ref" in value:
        assert set(value) == {"$ref"} and value["$ref"].startswith("#/"), value
        found = document
        for step in value["$ref"][2:].split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def operations(document):
    """(path, method, operation), in the order of the document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def examples(document):
    """(path, method, operation, status, media type or None, name, example), in the order of their journey."""
    found = []
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            response = resolve(document, response)
            for name, example in response.get("x-examples", {}).items():
                found.append((path, method, operation, status, None, name, example))
            for media, content in response.get("content", {}).items():
                for name, example in content.get("examples", {}).items():
                    found.append((path, method, operation, status, media, name, example))
    return sorted(found, key=lambda row: row[-1]["x-order"])


# --- schemas -----------------------------------------------------------------------------------------------------------
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and not (name == "integer" and isinstance(value, bool))


def types_of(schema):
    return [schema["type"]] if isinstance(schema["type"], str) else schema["type"]


RULES = {
    "type": lambda schema, value: any(is_type(value, name) for name in types_of(schema)),
    "const": lambda schema, value: value == schema["const"],
    "enum": lambda schema, value: value in schema["enum"],
    "minimum": lambda schema, value: not is_type(value, "integer") or value >= schema["minimum"],
    "maximum": lambda schema, value: not is_type(value, "integer") or value <= schema["maximum"],
    "pattern": lambda schema, value: not isinstance(value, str) or re.search(schema["pattern"], value),
    "maxLength": lambda schema, value: not isinstance(value, str) or len(value) <= schema["maxLength"],
    "minItems": lambda schema, value: not isinstance(value, list) or len(value) >= schema["minItems"],
    "maxItems": lambda schema, value: not isinstance(value, list) or len(value) <= schema["maxItems"],
    "required": lambda schema, value: not isinstance(value, dict) or set(schema["required"]) <= set(value),
    "additionalProperties": lambda schema, value: not isinstance(value, dict) or schema["additionalProperties"]
    or set(value) <= set(schema["properties"]),
}
NESTED = ("properties", "items", "oneOf", "$ref")
SILENT = ("description", "format")  # say something to people alone


def problems(document, schema, value, where="$"):
    """What is wrong with the value, a line each."""
    if "$ref" in schema:
        return problems(document, resolve(document, schema), value, where)
    wrong = [f"{where}: {value!r} against {rule} {schema[rule]!r}" for rule, holds in RULES.items()
             if rule in schema and not holds(schema, value)]
    if "oneOf" in schema and sum(not problems(document, one, value) for one in schema["oneOf"]) != 1:
        wrong.append(f"{where}: {value!r} is not exactly one of its kinds")
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                wrong += problems(document, inner, value[name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            wrong += problems(document, schema["items"], item, f"{where}[{index}]")
    return wrong


def check_schema(document, schema, where):
    """The schema is one that the judge understands whole."""
    unknown = set(schema) - set(RULES) - set(NESTED) - set(SILENT)
    assert not unknown, f"{where}: the judge does not know {unknown}"
    if "$ref" in schema:
        resolve(document, schema)
    for name in types_of(schema) if "type" in schema else ():
        assert name in TYPES, f"{where}: no type {name}"
    assert set(schema.get("required", [])) <= set(schema.get("properties", {})), f"{where}: required, not described"
    if "pattern" in schema:
        re.compile(schema["pattern"])
    inner = [*schema.get("properties", {}).values(), *schema.get("oneOf", [])]
    for one in inner + ([schema["items"]] if "items" in schema else []):
        check_schema(document, one, where)
