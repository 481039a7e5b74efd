/* house.mjs: a usherd, a bridge and a browser for a scene, all on ports of the system's choice and in a folder that goes
 * with them. USHERD, USHERCTL and USHER_HTTP name the programs, CHROMIUM the browser, SCREENSHOTS a folder for pictures. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { chromium } from "playwright-core";

const PATIENCE_MS = 30000;

export async function wait_until(what, condition) {
  for (const end = Date.now() + PATIENCE_MS; !(await condition()); await pause(20)) {
    assert(Date.now() < end, `waited in vain until ${what}`);
  }
}

/* A hall of 50 seats in two price grades, on two evenings; concert 2 has a line of its own that admits one at a time. */
const CATALOGUE = {
  format: "usher-catalogue-1",
  zone: "+09:00",
  queues: [{ id: 0, name: "House" },
           { id: 1, name: "Line", policies: { admit_batch: 1, admit_interval_ms: 1000, active_max: 1, claim_ms: 0 } }],
  plans: [{ id: 1, sections: [{ name: "Stalls", rows: 2, seats_per_row: 10, grade: 0 },
                              { name: "Balcony", rows: 3, seats_per_row: 10, grade: 1 }] }],
  concerts: [
    { id: 1, queue: 0, title: "Harbour Quartet", venue: "Town Hall",
      plan: 1, prices: [60000, 40000],
      dates: [{ id: 1, starts_at: "2031-05-01T19:30+09:00" }, { id: 2, starts_at: "2031-05-02T19:30+09:00" }] },
    { id: 2, queue: 1, title: "New Year Gala", venue: "Arena",
      plan: 1, prices: [90000, 70000], dates: [{ id: 1, starts_at: "2031-12-31T21:00+09:00" }] },
  ],
};

/* A program that dies with this process and tells its port by a file. */
class Program {
  constructor(command, args, port_file) {
    Object.assign(this, { command, args, port_file });
  }

  async start() {
    fs.rmSync(this.port_file, { force: true });
    this.child = spawn("setpriv", ["--pdeathsig", "KILL", this.command, ...this.args], { stdio: ["ignore", "ignore", "inherit"] });
    await wait_until(`${this.command} serves`, () => {
      assert.equal(this.child.exitCode, null, `${this.command} ended`);
      return fs.existsSync(this.port_file) && fs.readFileSync(this.port_file, "utf8").trim() !== "";
    });
    this.port = Number(fs.readFileSync(this.port_file, "utf8").split("\n")[0]);
  }

  async stop(signal = "SIGKILL") {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    await once(this.child, "exit");
  }
}

export class House {
  static async open() {
    const house = new House();
    try {
      await house.#open();
    } catch (error) {
      await house.close();
      throw error;
    }
    return house;
  }

  async #open() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "usher-web-"));
    const at = (name) => path.join(this.folder, name);
    fs.writeFileSync(at("catalogue.json"), JSON.stringify(CATALOGUE));
    this.usherd = new Program(process.env.USHERD, ["--data", at("data"), "--listen", "127.0.0.1:0", "--port-file", at("port"),
                                                   "--map-size", "1073741824", "--quiet"], at("port"));
    await this.usherd.start();
    /* The same port after a restart, as a service has. */
    this.usherd.args[3] = `127.0.0.1:${this.usherd.port}`;
    this.ctl("catalogue", "load", at("catalogue.json"));
    this.bridge = new Program(process.env.USHER_HTTP, ["--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0",
                                                       "--server", `127.0.0.1:${this.usherd.port}`, "--key", at("data/admin.key"),
                                                       "--port-file", at("http"), "--quiet"], at("http"));
    await this.bridge.start();
    this.address = `http://127.0.0.1:${this.bridge.port}/`;
    this.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"],
    });
  }

  ctl(...args) {
    return execFileSync(process.env.USHERCTL, ["--server", `127.0.0.1:${this.usherd.port}`, "--key", path.join(this.folder, "data/admin.key"),
                                               "--json", ...args], { encoding: "utf8" });
  }

  /* A person with a browser of their own: nothing is shared but the house. Errors of the page fail the scene. */
  async person(options = {}) {
    const context = await this.browser.newContext({ locale: "en-GB", viewport: { width: 1100, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.errors = [];
    page.on("pageerror", (error) => page.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && !/Failed to load resource|ERR_/.test(message.text())) page.errors.push(message.text());
    });
    await page.goto(this.address);
    return page;
  }

  async close() {
    await this.browser?.close();
    await this.bridge?.stop();
    await this.usherd?.stop();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function picture(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
}
