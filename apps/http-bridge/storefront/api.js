/* api.js: requests to the bridge this page came from, as openapi.json describes them.
 *
 *     const answer = await ask("GET", "/v1/balance", {token});
 *     const answer = await command("/v1/charges", {token, body: {amount: 100}, key});
 *
 * ask() gives the body, or throws: Problem for a refusal, Unreachable when no answer came. command() sends an
 * Idempotency-Key and asks again under the same key after Unreachable and after the answers that say "nothing is
 * decided" (503), so a lost answer never charges, holds or pays twice. */
import { current } from "./text.js";

export class Problem extends Error {
  constructor(body) {
    super(body.detail);
    this.body = body;
    this.code = body.code ?? "";
    this.status = body.status;
  }
}

export class Unreachable extends Error {}

const TIMEOUT_MS = 10_000;
const TRIES_MS = 60_000; /* how long a command is tried before the page asks its user */

/* The server's time: the answers say it, the local clock is only read for what has passed since. */
let offset_ms = 0;
export const now_ms = () => Date.now() + offset_ms;
export function set_clock(stamp_ms) {
  if (stamp_ms) offset_ms = stamp_ms - Date.now();
}

/* randomUUID() exists in secure contexts alone; the demo may be looked at from another machine's tunnel. */
export function make_uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export const headers_of = (token) => ({
  "Accept-Language": current(),
  ...(token ? { Authorization: `Bearer ${token}` } : {}),
});

export async function ask(method, path, { token, body, headers } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { ...headers_of(token), ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
      body: body ? JSON.stringify(body) : undefined,
    });
    const type = response.headers.get("Content-Type") ?? "";
    const answer = type.includes("json") ? await response.json() : await response.text();
    if (response.ok) {
      set_clock(answer.stamp_ms);
      return answer;
    }
    throw new Problem(typeof answer === "object" ? answer : { status: response.status, detail: response.statusText });
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Unreachable(String(error));
  }
}

/* Nothing is known, or nothing was done: ask again under the same key. */
export const is_undecided = (error) => error instanceof Unreachable || error.status === 503 || error.status === 429;

export async function command(path, { method = "POST", token, body, key = make_uuid(), unsure } = {}) {
  const until = Date.now() + TRIES_MS;
  for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
    try {
      return await ask(method, path, { token, body, headers: { "Idempotency-Key": key } });
    } catch (error) {
      if (!is_undecided(error) || Date.now() > until) throw error;
      unsure?.(error);
      const wait = Math.max(error.body?.retry_after_ms ?? 0, pause * (0.5 + Math.random()));
      await new Promise((wake) => setTimeout(wake, wait));
    }
  }
}
