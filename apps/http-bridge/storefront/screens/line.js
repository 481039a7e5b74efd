/* line.js: the waiting room. Joining again keeps the place (Q2), so a reload simply joins; the open stream keeps the
 * lease (Q6). When the stream brings nothing for a while, the page asks by itself after next_poll_ms and says so. */
import { ask, command, headers_of, now_ms, set_clock } from "../api.js";
import { fill, h, say } from "../dom.js";
import { make_connection_line, problem_box, with_button } from "../notice.js";
import { drop_place, keep_place, place_of, user } from "../state.js";
import { follow } from "../stream.js";
import { about, clock, number, t } from "../text.js";

const QUIET_MS = 5000; /* a stream that has brought nothing by then may be held back by something in between */
const SAYS_EVERY_MS = 15_000; /* a rank that falls by the second is not read out by the second */

export function show_line(screen, queue_id, concert_id) {
  const box = h("div");
  const body = h("div", { class: "center" });
  const line = make_connection_line();
  let stream = null;
  let poll_timer = 0;
  let ask_at_ms = 0; /* when the page asks by itself; 0: it need not */
  let next_poll_ms = QUIET_MS; /* as the last answer wished */
  let said_ms = 0;
  let closed = false;

  const counting = setInterval(() => {
    const note = document.getElementById("asks");
    if (note) note.textContent = ask_at_ms ? t("asks_again", { seconds: Math.max(1, Math.ceil((ask_at_ms - now_ms()) / 1000)) }) : t("live");
  }, 1000);

  function stop() {
    stream?.close();
    stream = null;
    clearTimeout(poll_timer);
    ask_at_ms = 0;
  }

  function over(sentence) {
    stop();
    drop_place(queue_id);
    say(t(sentence));
    fill(body, h("p", { class: "notice" }, t(sentence)),
      h("div", { class: "actions" }, sentence !== "sale_sold_out" && h("button", { type: "button", class: "primary", onclick: join }, t("again")),
        h("a", { class: "button", href: "#/" }, t("back_to_concerts"))));
  }

  function admitted(place) {
    stop();
    say(t("your_turn", { time: clock(place.until_ms) }));
    location.replace(`#/concert/${concert_id}`);
  }

  const leave_question = () =>
    fill(document.getElementById("leaving"), h("p", {}, t("leave_sure")), h("div", { class: "row" },
      h("button", { type: "button", id: "leave-yes", onclick: leave }, t("leave_yes")),
      h("button", { type: "button", class: "primary", onclick: draw_leave }, t("leave_no"))));
  const draw_leave = () =>
    fill(document.getElementById("leaving"), h("button", { type: "button", id: "leave", onclick: leave_question }, t("leave_line")));

  function leave(event) {
    with_button(event.target, box, async () => {
      await command("/v1/place", { method: "DELETE", token: place_of(queue_id).token });
      over("place_left");
    });
  }

  /* The frame stays while its numbers change, so that neither focus nor question is lost. */
  function draw_waiting(place) {
    if (!document.getElementById("rank")) {
      fill(body, h("p", { class: "soft" }, t("your_rank")), h("p", { class: "rank", id: "rank" }), h("p", { id: "estimate" }),
        h("p", { class: "notice", id: "sale", hidden: true }), h("p", { class: "soft", id: "asks" }, t("live")),
        h("p", { class: "soft" }, t("keep_open")), h("div", { id: "leaving" }));
      draw_leave();
    }
    document.getElementById("rank").textContent = number(place.rank);
    document.getElementById("estimate").textContent =
      place.estimate_ms === null ? t("estimate_unknown") : t("estimate", { time: about(place.estimate_ms) });
    const sale = document.getElementById("sale");
    sale.hidden = place.sale === "open";
    if (!sale.hidden) sale.textContent = t(`sale_${place.sale}`);
    document.title = `${number(place.rank)} · Usher`;
  }

  function take(place) {
    if (closed) return;
    set_clock(place.stamp_ms);
    if (place.state === "active") return admitted(place);
    if (place.state !== "waiting") return over(`place_${place.state}`);
    if (place.sale === "sold_out") return over("sale_sold_out");
    next_poll_ms = Math.max(1000, place.next_poll_ms);
    draw_waiting(place);
    if (now_ms() - said_ms > SAYS_EVERY_MS) {
      said_ms = now_ms();
      say(t("rank_said", { rank: number(place.rank) }));
    }
  }

  /* Asking by oneself, for as long as the stream is silent. What is due already is not put off by another break. */
  function ask_later(ms) {
    if (ask_at_ms || closed) return;
    ask_at_ms = now_ms() + ms;
    poll_timer = setTimeout(async () => {
      ask_at_ms = 0;
      try {
        const place = await ask("GET", "/v1/place", { token: place_of(queue_id)?.token });
        line.whole();
        take(place);
        if (place.state === "waiting" && stream) ask_later(next_poll_ms);
      } catch {
        ask_later(QUIET_MS);
      }
    }, ms);
  }

  function heard() {
    clearTimeout(poll_timer);
    ask_at_ms = 0;
    line.whole();
  }

  function listen(token) {
    stream = follow("/v1/place/events", {
      headers: headers_of(token),
      on: {
        place: (place) => { heard(); take(place); },
        interrupted: () => line.broken(3),
      },
      broken: (seconds) => { line.broken(seconds); ask_later(next_poll_ms); },
      refused: () => over("place_expired"),
    });
    ask_later(QUIET_MS);
  }

  async function join() {
    fill(box);
    fill(body, h("p", { class: "soft" }, t("loading")));
    try {
      const place = await command(`/v1/queues/${queue_id}/places`, { body: { user: user() }, unsure: () => line.broken(2) });
      if (closed) return;
      line.whole();
      keep_place({ queue_id, concert_id, token: place.token });
      take(place);
      if (place.state === "waiting" && place.sale !== "sold_out") listen(place.token);
    } catch (error) {
      if (error.code === "SOLD_OUT") over("sale_sold_out");
      else fill(body, problem_box(error, join));
    }
  }

  fill(screen, h("h1", {}, t("waiting_room")), line.element, box, body);
  join();
  return () => {
    closed = true;
    clearInterval(counting);
    stop();
  };
}
