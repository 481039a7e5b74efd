/* node_binding_test.mjs: the binding in client-sdk/bindings/node against a real usherd.
 *
 *     USHER_LIBRARY=libusher.so node --test node_binding_test.mjs     as ./usher binding-test does it
 *
 * USHERD names the server, USHER_BINDING the folder of the binding with its packages. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const { Client, Refused, Unanswered } = await import(pathToFileURL(path.join(process.env.USHER_BINDING, "usher.mjs")));
const PATIENCE_MS = 60000;
const FAR_MS = 4102444800000;

async function waitUntil(what, condition) {
    for (const end = Date.now() + PATIENCE_MS; !condition(); await pause(10))
        assert(Date.now() < end, `waited in vain until ${what}`);
}

/* Run a scene with a server of its own, which dies with this process, and a client of it. */
async function inHouse(scene) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "usher-node-")), port = path.join(folder, "port");
    const server = spawn("setpriv", ["--pdeathsig", "KILL", process.env.USHERD, "--data", path.join(folder, "data"),
                                     "--listen", "127.0.0.1:0", "--port-file", port, "--map-size", "1073741824",
                                     "--quiet"], { stdio: "inherit" });
    let shop;
    try {
        await waitUntil("usherd serves", () => {
            assert.equal(server.exitCode, null, "usherd ended");
            return fs.existsSync(port) && fs.readFileSync(port, "utf8") !== "";
        });
        shop = new Client({ server: `127.0.0.1:${Number(fs.readFileSync(port, "utf8"))}`, timeout_ms: 30000,
                            key_file: path.join(folder, "data", "admin.key") });
        const section = [{ name: "S", first_row: 1, row_count: 5, seats_per_row: 10 }];
        await shop.call("put_plan", { plan_id: 1, section });
        await shop.call("put_concert", { concert_id: 1, title: "Evening", venue: "Town Hall" });
        await shop.call("put_date", { concert_id: 1, date_id: 1, plan_id: 1, starts_at_ms: FAR_MS, price: [2500] });
        await scene(shop, server);
    } finally {
        shop?.close();
        if (server.exitCode === null && server.signalCode === null) {
            server.kill("SIGKILL");
            await once(server, "exit");
        }
        fs.rmSync(folder, { recursive: true });
    }
}

const show = { concert_id: 1, date_id: 1 };

/* T1, C2, R1, B1, M10: with one loop, no thread of the caller and no polling. */
test("a ticket is bought from node, and its seat is pushed to who watches", () => inHouse(async shop => {
    const user = randomUUID(), { token, state } = await shop.call("join", { user });
    assert.equal(state, "active");
    const watcher = await shop.call("join", { user: randomUUID() }), pushes = [];
    const end = shop.watch("watch_seats", { token: watcher.token, ...show }, event => pushes.push(event));
    const pushed = name => pushes.find(event => event.kind === "push" && event.name === name);
    await waitUntil("the snapshot is pushed", () => pushed("seats"));
    assert.equal(pushes[0].kind, "started");
    assert.equal(pushed("seats").body.free_block[0], (1n << 50n) - 1n);

    const { hold } = await shop.call("reserve", { token, ...show, seat: [7] });
    await waitUntil("the seat is pushed", () => pushed("seat_changes"));
    assert.deepEqual(pushed("seat_changes").body.block, [{ block: 0, free: ((1n << 50n) - 1n) ^ (1n << 6n) }]);

    await shop.call("charge", { token, amount: 3000 });
    const paid = await shop.call("pay", { token, reservation: hold.map(one => one.reservation_id) });
    assert.deepEqual([paid.amount, paid.balance], [2500n, 500n]);
    const key = shop.identity.server_key, ticket = shop.library.verifyTicket(key, paid.receipt);
    assert.deepEqual([ticket.user, ticket.seat], [user, [{ ...show, seat_no: 7 }]]);
    paid.receipt[paid.receipt.length - 1] ^= 1;
    assert.equal(shop.library.verifyTicket(key, paid.receipt), null);

    end();
    await waitUntil("the subscription has ended", () => pushes.at(-1).kind === "ended");
    assert.equal(pushes.at(-1).status, "cancelled");
}));

/* H1, H2: of many who ask at once each gets an answer of its own, and one the seat. */
test("a refusal is an exception, and promises end each by themselves", () => inHouse(async shop => {
    const places = await Promise.all(Array.from({ length: 8 }, () => shop.call("join", { user: randomUUID() })));
    const told = await Promise.allSettled(
        places.map(({ token }) => shop.call("reserve", { token, ...show, seat: [4] })));
    const refused = told.filter(one => one.status === "rejected").map(one => one.reason);
    assert.equal(refused.length, 7);
    for (const no of refused) {
        assert(no instanceof Refused);
        assert.equal(no.result, "HELD");
        assert(no.retry_after_ms > 0n);
        assert.deepEqual(no.refusal.conflict.map(one => one.seat_no), [4]);
    }
}));

/* What is outstanding when the client is closed fails, and nothing is accepted afterwards. */
test("a closed client leaves no promise open", () => inHouse(async (shop, server) => {
    server.kill("SIGSTOP");
    const ask = assert.rejects(shop.call("join", { user: randomUUID() }), Unanswered);
    shop.close();
    await ask;
    await assert.rejects(shop.call("ping"), no => no instanceof Unanswered && no.status === "closed");
}));
