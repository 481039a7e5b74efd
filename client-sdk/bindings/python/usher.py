"""usher.py: the blocking and the asynchronous client of libusher for Python, by ctypes alone.

    import usher
    with usher.Client("shop.key", server="127.0.0.1:7411") as shop:
        place = shop.join(queue_id=0)
        held = shop.reserve(place.token, concert_id=1, date_id=1, seats=[7])

No layout is typed in here: the structs, enums, messages and results are those that usher_abi_describe() says of the
library that is loaded. A request is keyword arguments named like the struct's fields, a reply an object with the same
names. A field with a count is bytes, text or a list, and its count is not seen; an enum's value is the end of its
name ("active"), a flag a bool, a usher_uuid or usher_id a uuid.UUID, any other plain bytes a bytes.
"""
import ctypes
import json
import os
import types
import uuid

SIMPLE = {"char": ctypes.c_char, "u8": ctypes.c_uint8, "u16": ctypes.c_uint16, "u32": ctypes.c_uint32,
          "u64": ctypes.c_uint64, "i32": ctypes.c_int32, "i64": ctypes.c_int64, "f64": ctypes.c_double,
          "pointer": ctypes.c_void_p}


class Error(Exception):
    """What a call can end with besides its reply."""


class Unanswered(Error):
    """The call got no answer. status is the name of the usher_status, "maybe_applied" say; request_id is the command's:
    call again under it, or ask lookup(), to learn what became of it."""

    def __init__(self, status, text, request_id=None):
        super().__init__(f"{status}: {text}")
        self.status, self.request_id = status, request_id


class Refused(Error):
    """The server answered no. name is the result's, "HELD" say; refusal is the struct usher_refusal."""

    def __init__(self, name, text, answer):
        super().__init__(text)
        self.name, self.answer, self.refusal = name, answer, answer.refusal
        self.retry_after_ms, self.retryable = answer.refusal.retry_after_ms, bool(answer.retryable)


class Enum:
    """The values of an enum under short names: what follows the prefix that they share."""

    def __init__(self, values):
        prefix = os.path.commonprefix(list(values)).rpartition("_")[0] + "_"
        self.values = {name[len(prefix):].lower(): value for name, value in values.items()}
        self.names = {value: name for name, value in self.values.items()}

    def name(self, value):
        return self.names.get(value, value)  # a newer server's value stays a number


class Library:
    """libusher, loaded, with the interface that it describes."""

    def __init__(self, path=None):
        self.c = ctypes.CDLL(path or os.environ.get("USHER_LIBRARY") or "libusher.so.0")
        self.c.usher_abi_describe.restype = ctypes.c_char_p
        self.abi = json.loads(self.c.usher_abi_describe())
        if self.abi["format"] != 1:
            raise ImportError(f"libusher describes itself in form {self.abi['format']}, not 1")
        self.layouts, self.types = self.abi["structs"], {}
        self.enums = {name: Enum(enum["values"]) for name, enum in self.abi["enums"].items()}
        self.results = {row["value"]: row["name"] for row in self.abi["results"]}
        self.messages = {row["name"]: row for row in self.abi["messages"]}
        self.declare()

    def declare(self):
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        rows = {
            "usher_client_open": (ctypes.c_int, pointer, pointer), "usher_client_close": (None, pointer),
            "usher_call": (ctypes.c_int, pointer, ctypes.c_uint16, pointer, pointer),
            "usher_client_error": (text, pointer), "usher_client_answer": (pointer, pointer),
            "usher_client_server_key": (pointer, pointer), "usher_client_role": (ctypes.c_int, pointer),
            "usher_client_name": (text, pointer), "usher_new_id": (None, pointer),
            "usher_async_open": (ctypes.c_int, pointer, pointer), "usher_async_close": (None, pointer),
            "usher_async_descriptor": (ctypes.c_int, pointer), "usher_async_process": (ctypes.c_int, pointer),
            "usher_async_call": (ctypes.c_int, pointer, ctypes.c_uint16, *[pointer] * 5),
            "usher_async_watch": (ctypes.c_int, pointer, ctypes.c_uint16, *[pointer] * 4),
            "usher_async_unwatch": (ctypes.c_int, pointer, ctypes.c_uint64), "usher_async_error": (text, pointer),
            "usher_ticket_verify": (ctypes.c_int, pointer, text, ctypes.c_size_t, pointer),
        }
        for name, (result, *arguments) in rows.items():
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments

    def struct(self, name):
        """The ctypes.Structure of this name; it must lie in memory as the library says."""
        if name in self.types:
            return self.types[name]
        layout, fields = self.layouts[name], []
        for field in layout["fields"]:
            kind = SIMPLE.get(field["type"]) or self.struct(field["type"])
            # c_uint8 for text too: an array of c_char would hide what stands behind a NUL
            kind = ctypes.c_uint8 if kind is ctypes.c_char else kind
            fields.append((field["name"], kind * field["count"] if "count" in field else kind))
        made = type(name, (ctypes.Structure,), {"_fields_": fields})
        for field in layout["fields"]:
            at = getattr(made, field["name"])
            if (at.offset, at.size) != (field["offset"], field["size"]):
                raise ImportError(f"{name}.{field['name']} lies elsewhere than libusher says")
        if ctypes.sizeof(made) != layout["size"]:
            raise ImportError(f"{name} has another size than libusher says")
        self.types[name] = made
        return made

    def pack(self, name, values):
        """A struct of this name with these values; fields that are not named stay zero."""
        raw, fields = self.struct(name)(), {field["name"]: field for field in self.layouts[name]["fields"]}
        for key, value in values.items():
            if key not in fields:
                raise TypeError(f"{name} has no field {key}")
            self.put(raw, fields[key], value)
        return raw

    def put(self, raw, field, value):
        key, count = field["name"], field.get("count")
        if count is None:
            setattr(raw, key, self.one(field, value))
            return
        value = value.encode() if isinstance(value, str) else value
        if len(value) > count - (field["type"] == "char"):
            raise ValueError(f"{key} has room for {count}")
        array = getattr(raw, key)
        for i, item in enumerate(value):
            array[i] = self.one(field, item)
        if "counted_by" in field:
            setattr(raw, field["counted_by"], len(value))

    def one(self, field, value):
        kind = field["type"]
        if kind not in self.layouts:
            if isinstance(value, str) and "enum" in field:
                return self.enums[field["enum"]].values[value]
            return value
        value = value.bytes if isinstance(value, uuid.UUID) else value
        return self.pack(kind, {"bytes": value} if isinstance(value, (bytes, bytearray)) else value)

    def unpack(self, name, raw):
        """The values of a struct, copied out of the library's memory."""
        fields = self.layouts[name]["fields"]
        if [field["name"] for field in fields] == ["bytes"]:
            plain = bytes(raw.bytes)
            return uuid.UUID(bytes=plain) if name in ("usher_uuid", "usher_id") else plain
        counts, told = {field.get("counted_by") for field in fields}, types.SimpleNamespace()
        for field in fields:
            if field["name"] not in counts:
                setattr(told, field["name"], self.get(raw, field))
        return told

    def get(self, raw, field):
        value = getattr(raw, field["name"])
        if "count" in field:
            value = value[:getattr(raw, field["counted_by"]) if "counted_by" in field else field["count"]]
            if field["type"] == "char":
                return bytes(value).partition(b"\0")[0].decode()
            if field["type"] == "u8":
                return bytes(value)
            return [self.read(field, item) for item in value]
        return self.read(field, value)

    def read(self, field, value):
        if field["type"] in self.layouts:
            return self.unpack(field["type"], value)
        if field.get("enum") == "usher_flag":
            return bool(value)
        return self.enums[field["enum"]].name(value) if "enum" in field else value

    def at(self, name, address):
        """The values of the struct at this address; None where there is none."""
        return self.unpack(name, self.struct(name).from_address(address)) if address else None

    def fill_options(self, options, key_file, server, server_key):
        """Set the pointers of a usher_options; what they point to is returned, to be kept."""
        kept = [None if value is None else ctypes.create_string_buffer(os.fsencode(value))
                for value in (server, key_file)]
        kept.append(None if server_key is None else self.pack("usher_key", {"bytes": server_key}))
        options.server, options.key_file, options.server_key = (
            None if value is None else ctypes.addressof(value) for value in kept)
        return kept

    def failure(self, status, answer_at, text):
        """The exception for what a call ended with, or None; and the answer."""
        answer = self.at("usher_answer", answer_at)
        result = self.struct("usher_answer").from_address(answer_at).result
        if status in ("answered", "hello_refused") and result != 0:
            return Refused(self.results.get(result, str(result)), text, answer), answer
        if status != "answered":
            return Unanswered(status, text, answer.request_id if answer.request_id.int else None), answer
        return None, answer

    def new_id(self):
        raw = self.struct("usher_id")()
        self.c.usher_new_id(ctypes.byref(raw))
        return self.unpack("usher_id", raw)

    def verify_ticket(self, server_key, ticket):
        """What a genuine ticket says; None for one that is malformed or forged. Needs no server (M10)."""
        key, says = self.pack("usher_key", {"bytes": server_key}), self.struct("usher_ticket")()
        verdict = self.c.usher_ticket_verify(ctypes.byref(key), ticket, len(ticket), ctypes.byref(says))
        if self.enums["usher_verdict"].name(verdict) != "genuine":
            return None
        says = self.unpack("usher_ticket", says)
        says.seat = says.seat[:says.seat_count]
        return says


class Client:
    """One connection, for one thread at a time. Every message of the server is a method: concerts(), dates(), place(),
    holds() and so on, with keyword arguments; the usual purchase has methods of its own below."""

    def __init__(self, key_file, server=None, timeout_ms=0, server_key=None, library=None):
        self.library = library or Library()
        c = self.library.c
        options = self.library.pack("usher_options", {"timeout_ms": timeout_ms})
        kept = self.library.fill_options(options, key_file, server, server_key)
        self.handle = ctypes.c_void_p()
        status = c.usher_client_open(ctypes.byref(options), ctypes.byref(self.handle))
        del kept  # it was copied
        try:
            self.check(status)
        except BaseException:
            self.close()
            raise

    def close(self):
        handle, self.handle = self.handle, None
        if handle:
            self.library.c.usher_client_close(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def check(self, status):
        """Raise what stands in the way, if anything does."""
        name, c = self.library.enums["usher_status"].name(status), self.library.c
        failure, answer = self.library.failure(name, c.usher_client_answer(self.handle),
                                               (c.usher_client_error(self.handle) or b"").decode())
        if failure:
            raise failure
        return answer

    def call(self, message, **values):
        """Any message by its name: its reply, or Refused, or Unanswered. A command takes request_id= for a retry."""
        if self.handle is None:
            raise ValueError("the client is closed")
        row = self.library.messages[message]
        request = self.library.pack(row["request"], values)
        reply = self.library.struct(row["reply"])()
        self.answer = self.check(self.library.c.usher_call(self.handle, row["opcode"], ctypes.byref(request),
                                                           ctypes.byref(reply)))
        return self.library.unpack(row["reply"], reply)

    def __getattr__(self, name):
        if name.startswith("_") or name == "library" or name not in self.library.messages:
            raise AttributeError(name)
        return lambda **values: self.call(name, **values)

    @property
    def server_key(self):
        """The service's public key: all that a gate needs."""
        raw = self.library.struct("usher_key").from_address(self.library.c.usher_client_server_key(self.handle))
        return self.library.unpack("usher_key", raw)

    @property
    def role(self):
        return self.library.enums["usher_role"].name(self.library.c.usher_client_role(self.handle))

    def join(self, user=None, queue_id=0, **more):
        """Take a place for a user, a made-up one when none is named."""
        return self.call("join", user=user or self.library.new_id(), queue_id=queue_id, **more)

    def seats(self, token, concert_id, date_id):
        """The numbers of the free seats of a date, however large it is."""
        free, first = [], 0
        while True:
            page = self.call("seats", token=token, concert_id=concert_id, date_id=date_id, first_block=first)
            free += [(page.first_block + i) * 64 + b + 1 for i, block in enumerate(page.free_block) for b in range(64)
                     if block >> b & 1]
            first = page.first_block + len(page.free_block)
            if not page.free_block or first * 64 >= page.seat_count:
                return free

    def reserve(self, token, concert_id, date_id, seats, **more):
        return self.call("reserve", token=token, concert_id=concert_id, date_id=date_id, seat=seats, **more)

    def charge(self, token, amount, **more):
        return self.call("charge", token=token, amount=amount, **more)

    def pay(self, token, holds, **more):
        """Pay for the holds of a reserve()'s reply: the reply's receipt is the ticket."""
        return self.call("pay", token=token, reservation=[hold.reservation_id for hold in holds], **more)


class AsyncClient:
    """The asynchronous client for any loop: register it with a selector, for it has a fileno(), and call process()
    whenever it is readable. No code of the caller runs inside of the library: its callbacks only take notes."""

    def __init__(self, key_file, server=None, timeout_ms=0, server_key=None, library=None):
        self.library, self.calls, self.watches, self.notes = library or Library(), {}, {}, []
        c, note = self.library.c, ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        self.on_completion, self.on_event = note(self.note_completion), note(self.note_event)
        options, self.handle = self.library.pack("usher_async_options", {}), ctypes.c_void_p()
        options.common.timeout_ms = timeout_ms
        kept = self.library.fill_options(options.common, key_file, server, server_key)
        status = c.usher_async_open(ctypes.byref(options), ctypes.byref(self.handle))
        del kept  # it was copied
        try:
            self.must_be_accepted(status)
        except BaseException:
            self.close()
            raise

    def must_be_accepted(self, status):
        name = self.library.enums["usher_status"].name(status)
        if name != "answered":
            raise Unanswered(name, (self.library.c.usher_async_error(self.handle) or b"").decode())

    def fileno(self):
        return self.library.c.usher_async_descriptor(self.handle)

    def process(self):
        """Do what there is to do, then run the callers' callbacks. Never blocks."""
        if self.handle:
            self.library.c.usher_async_process(self.handle)
        self.deliver()

    def deliver(self):
        notes, self.notes = self.notes, []
        for callback, *arguments in notes:
            callback(*arguments)

    def call(self, message, callback, **values):
        """Any message by its name; callback(reply, None) or callback(None, Refused or Unanswered) comes once."""
        row, number = self.library.messages[message], ctypes.c_uint64()
        request = self.library.pack(row["request"], values)
        self.must_be_accepted(self.library.c.usher_async_call(
            self.must_be_open(), row["opcode"], ctypes.byref(request), None, self.on_completion, None,
            ctypes.byref(number)))
        self.calls[number.value] = (callback, row)

    def watch(self, message, callback, **values):
        """watch_place, watch_seats or watch_events: callback(event) with kind "started", "push", "interrupted" and at
        last "ended". Returns the number that unwatch() takes."""
        row, number = self.library.messages[message], ctypes.c_uint64()
        request = self.library.pack(row["request"], values)
        self.must_be_accepted(self.library.c.usher_async_watch(
            self.must_be_open(), row["opcode"], ctypes.byref(request), self.on_event, None, ctypes.byref(number)))
        self.watches[number.value] = callback
        return number.value

    def unwatch(self, number):
        return bool(self.library.c.usher_async_unwatch(self.must_be_open(), number))

    def must_be_open(self):
        if not self.handle:
            raise Unanswered("closed", "the client is closed")
        return self.handle

    def note_completion(self, _, address):
        done = self.library.at("usher_completion", address)
        callback, row = self.calls.pop(done.call_no)
        text = ctypes.string_at(done.error).decode() if done.error else ""
        failure, _ = self.library.failure(done.status, done.answer, text)
        self.notes.append((callback, self.library.at(row["reply"], done.reply), failure))

    def note_event(self, _, address):
        event = self.library.at("usher_watch_event", address)
        rows = self.library.abi["pushes" if event.kind == "push" else "messages"]
        row = next(row for row in rows if row["opcode"] == event.opcode)
        event.name, event.body = row["name"], self.library.at(row.get("body") or row["reply"], event.body)
        event.refusal = self.library.at("usher_refusal", event.refusal)
        take = self.watches.pop if event.kind == "ended" else self.watches.get
        self.notes.append((take(event.watch_no), event))

    def close(self):
        """What is left ends now, each with its callback."""
        handle, self.handle = self.handle, None
        if handle:
            self.library.c.usher_async_close(handle)
        self.deliver()
