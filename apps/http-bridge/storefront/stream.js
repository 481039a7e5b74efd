/* stream.js: server-sent events with a header. EventSource can't send Authorization, and a token in an address would
 * stand in logs; so the stream is read with fetch().
 *
 *     const stream = follow("/v1/...", {headers, on: {place: (data) => ...}, broken: (seconds) => ..., whole: () => ...});
 *     stream.close();
 *
 * A stream that breaks is opened again after a pause of up to 1, 2, 4 ... 15 seconds, with jitter, for ever; broken()
 * says how long the pause is, whole() that the stream stands again. A refusal (a status of 4xx but 429) ends it:
 * refused(response) is called, once. */
const PAUSE_MS_MOST = 15_000;
const SILENCE_MS = 45_000; /* the bridge sends a comment every 15 s */

/* Cut a stream of text into events: lines up to an empty one. */
function* events_of(buffer) {
  let end;
  while ((end = buffer.text.indexOf("\n\n")) >= 0) {
    const event = { name: "message", data: [], id: null };
    for (const line of buffer.text.slice(0, end).split("\n")) {
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      const value = line.slice(colon + 1).replace(/^ /, "");
      if (line.startsWith("event:")) event.name = value;
      else if (line.startsWith("data:")) event.data.push(value);
      else if (line.startsWith("id:")) event.id = value;
    }
    buffer.text = buffer.text.slice(end + 2);
    if (event.data.length > 0) yield event;
  }
}

export function follow(path, { headers = {}, on, broken, whole, refused }) {
  const stopper = new AbortController();
  let last_id = null;
  let failures = 0;

  async function read(response, alive) {
    const decoder = new TextDecoder();
    const buffer = { text: "" };
    const reader = response.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      buffer.text += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
      for (const event of events_of(buffer)) {
        if (event.id !== null) last_id = event.id;
        failures = 0;
        on[event.name]?.(JSON.parse(event.data.join("\n")));
      }
    }
  }

  async function once() {
    const silence = new AbortController();
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    const signal = AbortSignal.any([stopper.signal, silence.signal]);
    alive();
    try {
      const sent = { Accept: "text/event-stream", ...headers };
      if (last_id !== null) sent["Last-Event-ID"] = last_id;
      const response = await fetch(path, { headers: sent, signal, cache: "no-store" });
      if (response.status >= 400 && response.status < 500 && response.status !== 429) {
        stopper.abort();
        refused?.(response);
        return;
      }
      if (!response.ok) throw new Error(`status ${response.status}`);
      whole?.();
      await read(response, alive);
    } finally {
      clearTimeout(timer);
    }
  }

  (async () => {
    while (!stopper.signal.aborted) {
      try {
        await once();
      } catch {
        /* broken: told below, and tried again */
      }
      if (stopper.signal.aborted) return;
      const most = Math.min(PAUSE_MS_MOST, 1000 * 2 ** Math.min(failures, 4));
      const pause = 300 + Math.random() * most;
      failures += 1;
      broken?.(Math.ceil(pause / 1000));
      await new Promise((wake) => {
        const timer = setTimeout(wake, pause);
        stopper.signal.addEventListener("abort", () => { clearTimeout(timer); wake(); }, { once: true });
      });
    }
  })();
  return { close: () => stopper.abort() };
}
