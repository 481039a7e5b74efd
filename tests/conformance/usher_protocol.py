"""usher_protocol.py: a client of Usher's wire, written from SPEC.md alone.

It shares nothing with the server and the SDK: not a line, not a row file, not the library that signs (this is OpenSSL's
Ed25519, theirs is libsodium's). No layout is typed in here: the tables of SPEC.md are read when this is imported, so
what they leave out, nobody can send. Numbers in comments are the sections.

    house = Client(port, *read_key_file("data/admin.key"))
    place = house.ask("JOIN", request_id=new_id(), user=user, queue_id=0)
    ticket = verify(house.ask("PAY", ...)["receipt"], 2, {1: house.server_key})
"""
import hashlib
import os
import re
import socket
import struct
import time
import uuid
from collections import namedtuple
from pathlib import Path

import xxhash
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Field = namedtuple("Field", "name kind of most offset")  # of: an ENUM's or an item's name
Message = namedtuple("Message", "opcode name kind token")
Frame = namedtuple("Frame", "flags opcode request_no aux stamp_ms body")
Result = namedtuple("Result", "value name kind detail")
REPLY, PUSH, REPLAYED = 1, 2, 4
HEADER, FRAME_MAX = struct.Struct("<IBBHIIQQ"), 65536


# ---- 1, 6, 8, 9: the tables ----
class Tables:
    """Every struct, message, push, result and enum that SPEC.md has a table of."""

    def __init__(self, text):
        self.structs, self.messages, self.pushes, self.results, self.enums = {}, {}, {}, {}, {}
        current = None
        for line in text[:text.index("\n## 12 ")].splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
            named = re.match(r"(?:Request |Reply |Item |Push )?`(\w+)`, [\d to]+ bytes: ", line)
            if named or line.startswith("#"):
                current = self.structs.setdefault(named[1], []) if named else None
            if line.startswith("### ") and " 0x" not in line:
                values = self.enums.setdefault(line[4:], {})
            if len(cells) == 8 and cells[0].startswith("0x"):
                self.messages[cells[1]] = Message(int(cells[0], 16), *cells[1:4])
            elif len(cells) == 3 and cells[0].startswith("0x"):
                self.pushes[int(cells[0], 16)] = cells[1]
            elif len(cells) == 5 and cells[2] in ("DONE", "CALLER", "DENIED", "REFUSED", "LATER"):
                self.results[cells[1]] = Result(int(cells[0]), cells[1], cells[2], cells[4])
            elif len(cells) == 5 and cells[0].isdigit() and current is not None:
                kind, *of = cells[2].split()
                current.append(Field(cells[3], kind, of[0] if kind in ("ENUM", "ITEMS") else None,
                                     int(of[-1]) if of and kind != "ENUM" else 0, int(cells[0])))
            elif len(cells) == 3 and cells[0].isdigit() and self.enums:
                values[cells[1]] = int(cells[0])
        self.result_names = {result.value: name for name, result in self.results.items()}


TABLES = Tables((Path(__file__).resolve().parents[2] / "SPEC.md").read_text(encoding="utf-8"))


# ---- 1: bodies ----
class Never(Exception):
    """Bytes that can never be what they should: a result's name, and the number of the field."""

    def __init__(self, result, detail=0):
        super().__init__(result, detail)
        self.result, self.detail = result, detail


NUMBERS = {"U8": "B", "U16": "H", "U32": "I", "U64": "Q", "I64": "q", "BYTES": "B", "NUMBERS32": "I", "NUMBERS64": "Q"}
WIDTHS = {"UUID": 16, "ID": 16, "KEY": 32, "SIGNATURE": 64, "ENUM": 1}
LISTS = ("BYTES", "NUMBERS32", "NUMBERS64", "ITEMS")


def width(field):
    """Of a field that is no list, or of one element of a list."""
    if field.kind == "ITEMS":
        return sum(width(part) for part in TABLES.structs[field.of])
    return field.most if field.kind == "TEXT" else WIDTHS.get(field.kind) or struct.calcsize(NUMBERS[field.kind])


def fixed_size(fields):
    return sum(2 if field.kind in LISTS else width(field) for field in fields)


def encode_plain(field, value):
    if field.kind == "TEXT":
        return (value or "").encode().ljust(field.most, b"\0")
    if field.kind == "ENUM":
        values = TABLES.enums[field.of]
        return bytes([min(values.values()) if value is None else values[value]])
    return struct.pack("<" + NUMBERS[field.kind], value or 0) if field.kind in NUMBERS else value or bytes(width(field))


def encode(name, values):
    """The body of a struct; what is not named is zero."""
    fixed = variable = b""
    assert set(values) <= {field.name for field in TABLES.structs[name]}, (name, values)
    for field in TABLES.structs[name]:
        value = values.get(field.name)
        if field.kind not in LISTS:
            fixed += encode_plain(field, value)
            continue
        fixed += struct.pack("<H", len(value or ()))
        for element in value or ():
            variable += encode(field.of, element) if field.of else struct.pack("<" + NUMBERS[field.kind], element)
    return fixed + variable


def decode_plain(field, data):
    if field.kind == "TEXT":
        text, _, rest = data.partition(b"\0")
        if len(text) == len(data) or rest.strip(b"\0"):
            raise ValueError
        return text.decode()  # strict: UTF-8 as section 1 has it
    if field.kind == "ENUM":
        return {value: name for name, value in TABLES.enums[field.of].items()}[data[0]]
    return struct.unpack("<" + NUMBERS[field.kind], data)[0] if field.kind in NUMBERS else data


def decode(name, body):
    fields, values = TABLES.structs[name], {}
    variable = size = fixed_size(fields)
    if len(body) >= size:
        counts = [struct.unpack_from("<H", body, f.offset)[0] if f.kind in LISTS else 0 for f in fields]
        size += sum(count * width(field) for count, field in zip(counts, fields))
    if len(body) != size:
        raise Never("BODY_SIZE")
    for number, (field, count) in enumerate(zip(fields, counts), 1):
        step = width(field)
        try:
            if field.kind not in LISTS:
                values[field.name] = decode_plain(field, body[field.offset:field.offset + step])
                continue
            if count > field.most:
                raise ValueError
            parts = [body[variable + i * step:variable + (i + 1) * step] for i in range(count)]
            variable += count * step
            if field.kind == "BYTES":
                values[field.name] = b"".join(parts)
            else:
                values[field.name] = [decode(field.of, p) if field.of else decode_plain(field, p) for p in parts]
        except (ValueError, KeyError, Never):
            raise Never("FIELD_INVALID", number) from None
    return values


# ---- 2: frames ----
def frame(opcode, request_no, body, flags=0, aux=0, stamp_ms=0):
    head = HEADER.pack(HEADER.size + len(body), 1, flags, opcode, request_no, aux, stamp_ms, 0)[:24]
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head + body)) + body


def read_frame(data, frame_max=FRAME_MAX):
    """The first frame of data and its size, or None when more bytes are needed."""
    size = int.from_bytes(data[:4], "little")
    if len(data) >= 4 and not HEADER.size <= size <= frame_max:
        raise Never("FRAME_SIZE")
    if len(data) >= 5 and data[4] != 1:
        raise Never("FRAME_VERSION")
    if len(data) < 4 or len(data) < size:
        return None
    _, _, flags, opcode, request_no, aux, stamp_ms, check = HEADER.unpack_from(data)
    if check != xxhash.xxh3_64_intdigest(data[:24] + data[32:size]):
        raise Never("FRAME_CHECK")
    return Frame(flags, opcode, request_no, aux, stamp_ms, data[32:size]), size


# ---- 4: tokens and receipts ----
def hashed(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def path_to_root(leaf, index, count, path):
    """Steps 3 and 7 in one walk: the root, and how many hashes of the path it took; a path that is short gives None."""
    root, used = leaf, 0
    while count > 1:
        if index % 2 or index + 1 < count:
            if used < len(path):
                root = hashed(b"\1", path[used], root) if index % 2 else hashed(b"\1", root, path[used])
            used += 1
        index, count = index // 2, (count + 1) // 2
    return (root if used <= len(path) else None), used


def is_signed(public_key, signature, data):
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify(document, kind, keys):
    """What a token (kind 1) or receipt (kind 2) says; keys are public keys by key_id. Raises Never."""
    head, seat_count, size = "<BBHI16sQqQ", 0, 48
    if kind == 2 and len(document) >= 50:
        seat_count = struct.unpack_from("<H", document, 48)[0]
        size = 50 + 12 * seat_count
        if not 1 <= seat_count <= 16 or document[4:8] != bytes(4):
            raise Never("TOKEN_MALFORMED")
    if len(document) < max(size + 68, 50) or document[0] != 1 or document[1] != kind:
        raise Never("TOKEN_MALFORMED")
    index, count = struct.unpack_from("<HH", document, size)
    path = [document[at:at + 32] for at in range(size + 4, len(document) - 64, 32)]
    body, leaf = document[:size], hashed(b"\0", bytes([kind]), document[:size])
    if not (1 <= count <= 4096 and index < count) or len(document) != size + 68 + 32 * path_to_root(
            leaf, index, count, path)[1]:
        raise Never("TOKEN_MALFORMED")
    _, _, key_id, queue_id, user, number, other, moment = struct.unpack_from(head, body)
    if key_id not in keys:
        raise Never("TOKEN_UNKNOWN_KEY")
    signed = b"usher-batch-1" + struct.pack("<BHH", 1, key_id, count) + path_to_root(leaf, index, count, path)[0]
    if not is_signed(keys[key_id], document[-64:], signed):
        raise Never("TOKEN_FORGED")
    says = {"key_id": key_id, "user": user, "leaf_index": index, "leaf_count": count}
    if kind == 1:
        return says | {"queue_id": queue_id, "position": number, "issued_ms": other, "ends_ms": moment}
    seats = [struct.unpack_from("<III", body, 50 + 12 * i) for i in range(seat_count)]
    return says | {"payment_id": number, "amount": other, "paid_at_ms": moment, "seats": seats}


# ---- 3: the handshake ----
def read_key_file(path):
    """The seed and the public key of a key file."""
    word, digits = Path(path).read_text(encoding="ascii").split()
    assert word == "usher-key-1" and len(digits) == 128, path
    return bytes.fromhex(digits[:64]), bytes.fromhex(digits[64:])


def handshake_digest(label, request, reply):
    return hashed(label.encode(), request["client_key"], request["client_nonce"], reply["server_key"],
                  reply["server_nonce"], struct.pack("<QI", request["features"], request["frame_max"]),
                  struct.pack("<QIII", *(reply[n] for n in ("features", "frame_max", "in_flight_max", "hello_ms"))))


def new_id():
    """A UUIDv7 (RFC 9562): a moment, then random bits around version and variant."""
    number = int.from_bytes(os.urandom(10), "big") & ~(0xf << 76 | 3 << 62) | 7 << 76 | 2 << 62
    return (int(time.time() * 1000) << 80 | number).to_bytes(16, "big")


def new_user():
    return uuid.uuid4().bytes


# ---- a connection ----
class Refused(Exception):
    def __init__(self, message, result, refusal):
        super().__init__(message, result, refusal)
        self.message, self.result, self.refusal = message, result, refusal


class Client:
    def __init__(self, port, seed=None, public_key=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.input, self.request_no, self.pushes = b"", 0, []
        self.last = None  # the last reply's frame
        if seed:
            self.hello(seed, public_key)
            self.who = self.ask("AUTHENTICATE", signature=self.sign("usher-hello-client-1"))

    def close(self):
        self.socket.close()

    def hello(self, seed, public_key):
        self.seed = seed
        self.said = {"client_key": public_key, "client_nonce": os.urandom(32), "features": 0, "frame_max": FRAME_MAX}
        self.heard = self.ask("HELLO", **self.said)
        self.server_key = self.heard["server_key"]
        digest = handshake_digest("usher-hello-server-1", self.said, self.heard)
        assert is_signed(self.server_key, self.heard["signature"], digest), "not the server's signature"

    def sign(self, label):
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(handshake_digest(label, self.said, self.heard))

    def receive(self):
        """The next frame; None at the end of the stream."""
        while (found := read_frame(self.input)) is None:
            more = self.socket.recv(65536)
            if not more:
                return None
            self.input += more
        self.input = self.input[found[1]:]
        return found[0]

    def send(self, message, /, budget_ms=0, **values):
        """Send a request and return its number."""
        self.request_no += 1
        body = encode(message.lower() + "_request", values)
        self.socket.sendall(frame(TABLES.messages[message].opcode, self.request_no, body, aux=budget_ms))
        return self.request_no

    def answer(self, request_no, message):
        """The reply to this request; pushes that come before it are kept."""
        while (got := self.receive()) is not None:
            if got.flags & PUSH:
                self.pushes.append(got)
            elif got.request_no == request_no:
                self.last = got
                result = TABLES.result_names[got.aux]
                if result != "OK":
                    raise Refused(message, result, decode("refusal", got.body))
                return decode(message.lower() + "_reply", got.body)
        raise EOFError(message)

    def ask(self, message, /, **values):
        return self.answer(self.send(message, **values), message)
