"""conformance_vectors_test.py: the client written from SPEC.md alone agrees with every line of protocol/vectors/.

    conformance_vectors_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import base64
import json
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from house import House, run
from usher_protocol import (FRAME_MAX, HEADER, LISTS, PUSH, REPLAYED, REPLY, TABLES, Never, decode, encode, frame,
                            handshake_digest, hashed, is_signed, path_to_root, read_frame, verify)

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"


def lines(name):
    """The lines of a file; says which one it was when a test fails in it."""
    number = 0
    try:
        with (VECTORS / name).open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                yield json.loads(text)
    finally:
        print(f"{name}: {number} lines")
    assert number > 0, name


def value_of(field, value):
    """A field of a line as the client has it."""
    if field.kind == "ITEMS":
        return [fields_of(field.of, element) for element in value]
    if field.kind == "UUID":
        return uuid.UUID(value).bytes
    if field.kind in ("ID", "KEY", "SIGNATURE", "BYTES"):
        return bytes.fromhex(value)
    if field.kind in ("U64", "I64"):
        return int(value)
    return [int(element) for element in value] if field.kind in LISTS else value


def fields_of(struct_name, fields):
    rows = TABLES.structs[struct_name]
    assert list(fields) == [row.name for row in rows], struct_name
    return {row.name: value_of(row, fields[row.name]) for row in rows}


def every_message_is_written_and_read_as_its_line_says():  # test
    """F1: every message and push that SPEC.md lists, fields to bytes and bytes to fields."""
    seen = set()
    for line in lines("messages.jsonl"):
        values, data = fields_of(line["struct"], line["fields"]), bytes.fromhex(line["frame"])
        opcode = line["opcode"]
        if line["part"] == "push":
            assert TABLES.pushes[opcode] == line["name"] and line["flags"] == PUSH, line
            wanted = line["name"].lower() + "_push"
        elif line["part"] == "refusal":
            assert TABLES.results[line["name"]].value == line["aux"], line
            wanted = "refusal"
        else:
            assert TABLES.messages[line["name"]].opcode == opcode, line
            assert line["flags"] & ~REPLAYED == (REPLY if line["part"] == "reply" else 0), line
            wanted = f"{line['name'].lower()}_{line['part']}"
        assert line["struct"] == wanted, line
        body = encode(wanted, values)
        assert frame(opcode, line["request_no"], body, line["flags"], line["aux"], int(line["stamp_ms"])) == data, line
        read, size = read_frame(data)
        assert size == len(data) and read.body == body and read.stamp_ms == int(line["stamp_ms"]), line
        assert decode(wanted, read.body) == values, line
        seen.add((line["name"], line["part"]))
    wanted = {(name, part) for name in TABLES.messages for part in ("request", "reply")}
    wanted |= {(name, "push") for name in TABLES.pushes.values()}
    wanted |= {(name, "refusal") for name in TABLES.results if name != "OK"}
    assert seen == wanted, seen ^ wanted


def judge(part, data):
    """Section 6, rungs 1 and 2: what the bytes are refused as, and the number of the field."""
    try:
        if (found := read_frame(data)) is None:
            return "more", 0
        got = found[0]
        if part == "request" and (got.flags or got.stamp_ms):
            return "FRAME_HEADER", 0
        names = {message.opcode: name for name, message in TABLES.messages.items()}
        if part == "refusal":
            decode("refusal", got.body)
        elif part == "push":
            decode(TABLES.pushes[got.opcode].lower() + "_push", got.body)
        elif got.opcode not in names:
            return "OPCODE_UNKNOWN", 0
        else:
            name = names[got.opcode]
            values = decode(f"{name.lower()}_{part}", got.body)
            if part == "request" and TABLES.messages[name].kind == "COMMAND" and not any(values["request_id"]):
                return "REQUEST_ID_MISSING", 0
    except Never as never:
        return never.result, never.detail
    return "OK", 0


def what_can_never_be_valid_is_refused_as_its_line_says():  # test
    """F1: offline, with the result and the field that each line names."""
    for line in lines("never.jsonl"):
        told = judge(line["part"], bytes.fromhex(line["frame"]))
        assert told == (line["result"], line["detail"]), (told, line)


def a_server_refuses_what_can_never_be_valid_as_its_line_says():  # test
    """F1: a real usherd gives each request of never.jsonl this result and detail, and closes where SPEC.md says so."""
    with House("--quiet", "--hello-ms", "600000") as house:
        stranger, asked = house.connect(), 0
        for line in lines("never.jsonl"):
            if line["part"] != "request":
                continue
            data = bytes.fromhex(line["frame"])
            # The refusal names what had arrived of the header.
            told = (int.from_bytes(data[6:8], "little") if len(data) >= 8 else 0,
                    int.from_bytes(data[8:12], "little") if len(data) >= 12 else 0)
            stranger.socket.sendall(data)
            reply = stranger.receive()
            refusal = stranger.refusal_of(line["result"], reply)
            assert refusal["detail"] == line["detail"], (refusal, line)
            assert (reply.opcode, reply.request_no) == told, (reply, line)
            if line["result"].startswith("FRAME_"):
                stranger.must_be_closed()
                stranger.close()
                stranger = house.connect()
            else:
                assert stranger.ask("PING", echo=asked)["echo"] == asked, line
            asked += 1
        assert asked > 100


def checks_and_streams_are_read_as_their_lines_say():  # test
    """F1: the check of every length that XXH3 tells apart, and frames out of a stream at any split."""
    for line in lines("checks.jsonl"):
        body = bytes((31 * i + line["body_size"]) % 256 for i in range(line["body_size"]))
        data = frame(line["opcode"], line["request_no"], body, line["flags"], line["aux"], int(line["stamp_ms"]))
        assert data[:HEADER.size].hex() == line["header"], line
        assert int.from_bytes(data[24:32], "little") == int(line["check"]), line
        assert read_frame(data)[0].body == body and len(data) <= FRAME_MAX
    for line in lines("streams.jsonl"):
        stream = bytes.fromhex(line["stream"])
        for step in range(1, max(len(stream), 1) + 1):
            found, held, then = [], b"", "OK"
            try:
                for at in range(0, len(stream), step):
                    held += stream[at:at + step]
                    while (one := read_frame(held)) is not None:
                        found.append(held[:one[1]].hex())
                        held = held[one[1]:]
            except Never as never:
                then = never.result
            assert (found, then) == (line["frames"], line["then"]), (step, line)
            assert then != "OK" or len(held) == line["left"], (step, line)


def documents_are_verified_as_their_lines_say():  # test
    """M10, Q12: tokens, receipts and Merkle paths of many sizes, and what is none of them."""
    for line in lines("trees.jsonl"):
        for place in line["paths"]:
            path = [bytes.fromhex(step) for step in place["path"]]
            leaf = hashed(place["index"].to_bytes(4, "little"))
            root, used = path_to_root(leaf, place["index"], line["leaf_count"], path)
            assert (root.hex(), used) == (line["root"], len(path)), line
    for line in lines("documents.jsonl"):
        document, says = bytes.fromhex(line["document"]), None
        try:
            says, result = verify(document, line["kind"], {line["key_id"]: bytes.fromhex(line["public_key"])}), "OK"
        except Never as never:
            result = never.result
        assert result == line["result"], (result, line)
        if says is None:
            continue
        wanted = {name: value if name in ("user", "seats") else int(value) for name, value in line["fields"].items()}
        wanted |= {name: line[name] for name in ("key_id", "leaf_index", "leaf_count")}
        wanted["user"] = uuid.UUID(wanted["user"]).bytes
        if "seats" in wanted:
            wanted["seats"] = [tuple(seat) for seat in wanted["seats"]]
        assert says == wanted, (says, line)
        assert base64.urlsafe_b64decode(line["text"] + "=" * (-len(line["text"]) % 4)) == document, line


def handshakes_are_signed_as_their_lines_say():  # test
    """F1: the digests, keys and signatures of the handshake; OpenSSL signs as libsodium did."""
    for line in lines("handshakes.jsonl"):
        said, heard = fields_of("hello_request", line["request"]), fields_of("hello_reply", line["reply"])
        assert is_signed(heard["server_key"], heard["signature"], handshake_digest("usher-hello-server-1", said, heard))
        digest = handshake_digest(line["label"], said, heard)
        assert digest.hex() == line["digest"], line
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(line["seed"]))
        assert key.sign(digest).hex() == line["signature"], line
        assert is_signed(bytes.fromhex(line["public_key"]), bytes.fromhex(line["signature"]), digest), line


if __name__ == "__main__":
    run(globals())
