/* usher.mjs: the asynchronous client of libusher for Node, driven by Node's own loop.
 *
 *     const shop = new Client({ key_file: "shop.key", server: "127.0.0.1:7411" });
 *     const place = await shop.call("join", { user: randomUUID(), queue_id: 0 });
 *     shop.watch("watch_seats", { token: place.token, concert_id: 1, date_id: 1 }, event => { ... });
 *
 * No layout is typed in here: structs, enums, messages, pushes and results are those that usher_abi_describe() says of
 * the library that is loaded. A request is an object with the struct's field names, a reply the same. A field with a
 * count is a Buffer, text or an array, and its count is not seen; 64-bit numbers come as BigInt and go as either; an
 * enum's value is the end of its name ("active"), a flag a boolean, a usher_uuid or usher_id text, other plain bytes a
 * Buffer. No code of the caller runs inside of the library: its callbacks only take notes. */
import koffi from "koffi";
import net from "node:net";

const WIDTH = { char: 1, u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, i64: 8, f64: 8, pointer: 8 };
const READ = {
    char: (b, at) => b[at], u8: (b, at) => b[at], u16: (b, at) => b.readUInt16LE(at),
    u32: (b, at) => b.readUInt32LE(at), i32: (b, at) => b.readInt32LE(at),
    u64: (b, at) => b.readBigUInt64LE(at), i64: (b, at) => b.readBigInt64LE(at),
    f64: (b, at) => b.readDoubleLE(at), pointer: (b, at) => b.readBigUInt64LE(at),
};
const WRITE = {
    char: (b, at, v) => b.writeUInt8(v, at), u8: (b, at, v) => b.writeUInt8(v, at),
    u16: (b, at, v) => b.writeUInt16LE(v, at), u32: (b, at, v) => b.writeUInt32LE(v, at),
    i32: (b, at, v) => b.writeInt32LE(v, at), u64: (b, at, v) => b.writeBigUInt64LE(BigInt(v), at),
    i64: (b, at, v) => b.writeBigInt64LE(BigInt(v), at), f64: (b, at, v) => b.writeDoubleLE(v, at),
    pointer: (b, at, v) => b.writeBigUInt64LE(BigInt(v), at),
};

/* The call got no answer: status is the name of the usher_status, outcome says what is known of a command. */
export class Unanswered extends Error {
    constructor(status, outcome, text, request_id) {
        super(`${status}: ${text}`);
        Object.assign(this, { name: "Unanswered", status, outcome, request_id });
    }
}

/* The server answered no: result is its name, "HELD" say. */
export class Refused extends Error {
    constructor(result, text, answer) {
        super(text);
        Object.assign(this, { name: "Refused", result, answer, refusal: answer.refusal,
                              retryable: answer.retryable !== 0, retry_after_ms: answer.refusal.retry_after_ms });
    }
}

/* The values of an enum under short names: what follows the prefix that they share. */
function shortNames(values) {
    const names = Object.keys(values);
    let shared = names[0];
    while (!names.every(name => name.startsWith(shared)))
        shared = shared.slice(0, -1);
    const skip = shared.lastIndexOf("_") + 1;
    const rows = names.map(name => [name.slice(skip).toLowerCase(), values[name]]);
    return { values: new Map(rows), names: new Map(rows.map(([name, value]) => [value, name])) };
}

/* Memory of the library, copied. */
const copyOf = (address, size) => Buffer.from(Buffer.from(koffi.view(address, size)));
const textAt = address => (address ? koffi.decode(address, "char", -1) : "");

export class Library {
    constructor(path = process.env.USHER_LIBRARY ?? "libusher.so.0") {
        const library = koffi.load(path);
        this.c = {
            describe: library.func("const char *usher_abi_describe(void)"),
            open: library.func("int usher_async_open(void *options, void *async)"),
            close: library.func("void usher_async_close(void *async)"),
            descriptor: library.func("int usher_async_descriptor(void *async)"),
            process: library.func("int usher_async_process(void *async)"),
            call: library.func("int usher_async_call(void *async, uint16_t opcode, void *request, void *options, " +
                               "void *callback, void *context, void *call_no)"),
            watch: library.func("int usher_async_watch(void *async, uint16_t opcode, void *request, void *callback, " +
                                "void *context, void *watch_no)"),
            unwatch: library.func("int usher_async_unwatch(void *async, uint64_t watch_no)"),
            error: library.func("const char *usher_async_error(void *async)"),
            identity: library.func("void *usher_async_identity(void *async)"),
            verify: library.func("int usher_ticket_verify(void *key, void *bytes, size_t size, void *ticket)"),
            dup: koffi.load("libc.so.6").func("int dup(int descriptor)"),
        };
        this.abi = JSON.parse(this.c.describe());
        if (this.abi.format !== 1 || this.abi.pointer_size !== 8 || !this.abi.little_endian)
            throw new Error("libusher describes itself in a form that this binding does not know");
        const byKey = (rows, key) => new Map(rows.map(row => [row[key], row]));
        this.enums = new Map(Object.entries(this.abi.enums).map(([name, { values }]) => [name, shortNames(values)]));
        this.results = byKey(this.abi.results, "value");
        this.messages = byKey(this.abi.messages, "name");
        this.opcodes = byKey(this.abi.messages, "opcode");
        this.pushes = byKey(this.abi.pushes, "opcode");
    }

    nameOf(enumeration, value) {
        return this.enums.get(enumeration).names.get(value) ?? value;
    }

    /* A struct with these values; what is not named stays zero. */
    pack(name, values) {
        const { size, fields } = this.abi.structs[name], raw = Buffer.alloc(size);
        for (const [key, value] of Object.entries(values)) {
            const field = fields.find(one => one.name === key);
            if (!field)
                throw new TypeError(`${name} has no field ${key}`);
            this.put(raw, fields, field, value);
        }
        return raw;
    }

    put(raw, fields, field, value) {
        if (field.count === undefined) {
            this.putOne(raw, field, field.offset, value);
            return;
        }
        const items = typeof value === "string" ? Buffer.from(value) : value;
        if (items.length > field.count - (field.type === "char" ? 1 : 0))
            throw new RangeError(`${field.name} has room for ${field.count}`);
        const step = field.size / field.count;
        for (const [i, item] of items.entries())
            this.putOne(raw, field, field.offset + i * step, item);
        if (field.counted_by) {
            const count = fields.find(one => one.name === field.counted_by);
            WRITE[count.type](raw, count.offset, items.length);
        }
    }

    putOne(raw, field, at, value) {
        if (WIDTH[field.type]) {
            const named = field.enum && typeof value === "string";
            const number = named ? this.enums.get(field.enum).values.get(value) : value;
            if (number === undefined)
                throw new TypeError(`${field.name} can't be ${value}`);
            WRITE[field.type](raw, at, typeof number === "boolean" ? Number(number) : number);
        } else if (typeof value === "string") {
            Buffer.from(value.replaceAll("-", ""), "hex").copy(raw, at);
        } else if (Buffer.isBuffer(value)) {
            value.copy(raw, at);
        } else {
            this.pack(field.type, value).copy(raw, at);
        }
    }

    /* The values of a struct that begins there. */
    unpack(name, raw, at = 0) {
        const fields = this.abi.structs[name].fields, told = {};
        if (fields.length === 1 && fields[0].name === "bytes") {
            const bytes = Buffer.from(raw.subarray(at, at + fields[0].size)), hex = bytes.toString("hex");
            return bytes.length === 16 ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") : bytes;
        }
        const counts = new Set(fields.map(field => field.counted_by));
        for (const field of fields) {
            if (!counts.has(field.name))
                told[field.name] = this.get(raw, at, fields, field);
        }
        return told;
    }

    get(raw, base, fields, field) {
        const at = base + field.offset;
        if (field.count === undefined)
            return this.getOne(raw, field, at);
        const counter = fields.find(one => one.name === field.counted_by);
        const count = counter ? READ[counter.type](raw, base + counter.offset) : field.count;
        if (field.type === "char")
            return raw.toString("utf8", at, at + field.count).split("\0")[0];
        if (field.type === "u8")
            return Buffer.from(raw.subarray(at, at + count));
        return Array.from({ length: count }, (_, i) => this.getOne(raw, field, at + i * (field.size / field.count)));
    }

    getOne(raw, field, at) {
        if (!WIDTH[field.type])
            return this.unpack(field.type, raw, at);
        const value = READ[field.type](raw, at);
        if (field.enum === "usher_flag")
            return value !== 0;
        return field.enum ? this.nameOf(field.enum, value) : value;
    }

    /* The struct that a pointer leads to, without what it points to in turn. */
    at(name, address) {
        return this.unpack(name, copyOf(address, this.abi.structs[name].size));
    }

    /* What a genuine ticket says, or null. Needs no server (M10). */
    verifyTicket(serverKey, ticket) {
        const says = Buffer.alloc(this.abi.structs.usher_ticket.size);
        const verdict = this.c.verify(serverKey, ticket, ticket.length, says);
        if (this.nameOf("usher_verdict", verdict) !== "genuine")
            return null;
        const told = this.unpack("usher_ticket", says);
        return { ...told, seat: told.seat.slice(0, told.seat_count) };
    }
}

const CALLBACK = koffi.pointer(koffi.proto("void usher_binding_callback(void *async, void *event)"));

export class Client {
    /* Options: server, key_file, and the numbers of usher_options by their names. It connects by itself. */
    constructor({ server, key_file, ...common }, library = new Library()) {
        this.library = library;
        this.calls = new Map();
        this.watches = new Map();
        this.events = [];
        const strings = { server, key_file }, kept = [];
        for (const [name, text] of Object.entries(strings)) {
            if (text === undefined)
                continue;
            kept.push(Buffer.from(`${text}\0`));
            common[name] = koffi.address(kept.at(-1));
        }
        this.strings = kept; /* what the options point to must outlive the call below */
        const options = library.pack("usher_async_options", { common, signal_by_socket: 1 }), out = Buffer.alloc(8);
        const status = library.nameOf("usher_status", library.c.open(options, out));
        this.handle = out.readBigUInt64LE(0) || null;
        if (status !== "answered") {
            const why = this.handle ? library.c.error(this.handle) : "no memory";
            library.c.close(this.handle);
            throw new Unanswered(status, "not_sent", why);
        }
        this.onCompletion = koffi.register((_, at) => this.noteCompletion(at), CALLBACK);
        this.onEvent = koffi.register((_, at) => this.noteEvent(at), CALLBACK);
        /* The descriptor belongs to the handle and Node closes what it watches: so Node gets one of its own. */
        this.socket = new net.Socket({ fd: library.c.dup(library.c.descriptor(this.handle)), writable: false });
        this.socket.on("data", () => this.process());
        this.socket.resume();
    }

    process() {
        if (this.handle) {
            this.library.c.process(this.handle);
            this.deliver();
        }
    }

    /* Hand the events on that the library's callbacks noted, now that it has returned. */
    deliver() {
        for (const [callback, event] of this.events.splice(0))
            callback(event);
    }

    noteCompletion(address) {
        const done = this.library.at("usher_completion", address), { resolve, reject } = this.calls.get(done.call_no);
        this.calls.delete(done.call_no);
        const raw = copyOf(done.answer, this.library.abi.structs.usher_answer.size);
        const answer = this.library.unpack("usher_answer", raw), error = textAt(done.error);
        if (done.reply) {
            const reply = this.library.at(this.library.opcodes.get(answer.opcode).reply, done.reply);
            resolve(Object.defineProperty(reply, "answer", { value: answer }));
        } else if (done.status === "answered" || done.status === "hello_refused") {
            const { offset } = this.library.abi.structs.usher_answer.fields.find(field => field.name === "result");
            reject(new Refused(this.library.results.get(raw.readUInt32LE(offset))?.name, error, answer));
        } else {
            reject(new Unanswered(done.status, done.outcome, error, answer.request_id));
        }
    }

    noteEvent(address) {
        const event = this.library.at("usher_watch_event", address), callback = this.watches.get(event.watch_no);
        const rows = event.kind === "push" ? this.library.pushes : this.library.opcodes, row = rows.get(event.opcode);
        event.name = row.name;
        event.body = event.body ? this.library.at(row.body ?? row.reply, event.body) : null;
        event.refusal = event.refusal ? this.library.at("usher_refusal", event.refusal) : null;
        if (event.kind === "ended")
            this.watches.delete(event.watch_no);
        this.events.push([callback, event]);
    }

    mustBeAccepted(status) {
        const name = this.library.nameOf("usher_status", status);
        if (name !== "answered")
            throw new Unanswered(name, "not_sent", this.library.c.error(this.handle));
    }

    /* Any message by its name: a promise of its reply, which fails with Refused or Unanswered. */
    async call(message, values = {}) {
        if (!this.handle)
            throw new Unanswered("closed", "not_sent", "the client is closed");
        const row = this.library.messages.get(message), request = this.library.pack(row.request, values);
        const callNo = Buffer.alloc(8), { c } = this.library;
        this.mustBeAccepted(c.call(this.handle, row.opcode, request, null, this.onCompletion, null, callNo));
        return new Promise((resolve, reject) => this.calls.set(callNo.readBigUInt64LE(0), { resolve, reject }));
    }

    /* Subscribe with watch_place, watch_seats or watch_events; returns a function that ends it. The callback gets
     * {kind, name, body, ...}: kind "started", "push", "interrupted" and at last "ended". */
    watch(message, values, callback) {
        const row = this.library.messages.get(message), request = this.library.pack(row.request, values);
        const watchNo = Buffer.alloc(8);
        this.mustBeAccepted(this.library.c.watch(this.handle, row.opcode, request, this.onEvent, null, watchNo));
        const number = watchNo.readBigUInt64LE(0);
        this.watches.set(number, callback);
        return () => { if (this.handle) this.library.c.unwatch(this.handle, number); };
    }

    /* Role, name and server_key; server_key is what verifyTicket() asks for. */
    get identity() {
        return this.library.at("usher_identity", this.library.c.identity(this.handle));
    }

    /* What is left ends now: calls fail with what is known of them, subscriptions with "ended". */
    close() {
        const handle = this.handle;
        if (!handle)
            return;
        this.handle = null;
        this.library.c.close(handle);
        this.socket.destroy();
        koffi.unregister(this.onCompletion);
        koffi.unregister(this.onEvent);
        this.deliver();
    }
}
