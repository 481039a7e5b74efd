/* seats.js: the live seat map of a date. The stream says which seats are free; what the user has chosen and holds is
 * laid over it. A seat that somebody else takes while it is chosen is told and taken out of the choice. */
import { ask, command, headers_of, set_clock } from "../api.js";
import { fill, h, say, warn } from "../dom.js";
import { make_holds } from "../holds.js";
import { make_connection_line, problem_box, with_button } from "../notice.js";
import { lay_out, name_of } from "../plan.js";
import { legend, make_seat_map } from "../seatmap.js";
import { place_of } from "../state.js";
import { follow } from "../stream.js";
import { moment, number, t } from "../text.js";
import { concert_of, leads_to_line } from "./dates.js";

const points = (value) => t("seat_price", { price: number(value) });

function each(ranges, call) {
  for (const [first, last] of ranges) {
    for (let no = first; no <= last; no++) call(no);
  }
}

export function show_seats(screen, concert_id, date_id) {
  const title = h("h1", { id: "seats-title" }, t("seats"));
  const about = h("p", { class: "soft" });
  const box = h("div");
  const body = h("div", {}, h("p", { class: "soft" }, t("loading")));
  const line = make_connection_line();
  let parts = null; /* what close() ends */
  let closed = false;
  fill(screen, title, about, line.element, box, body);

  async function load() {
    let concert = null;
    try {
      concert = await concert_of(concert_id);
      const token = place_of(concert.queue_id)?.token;
      const [plan, dates] = await Promise.all([
        ask("GET", `/v1/concerts/${concert_id}/dates/${date_id}/plan`),
        ask("GET", `/v1/concerts/${concert_id}/dates?all=true&after_date_id=${date_id - 1}`, { token }),
      ]);
      if (closed) return;
      const date = dates.date.find((row) => row.date_id === date_id);
      about.textContent = `${concert.title}${date ? ` · ${moment(date.starts_at_ms)}` : ""}`;
      parts = make_page({ concert, date_id, token, layout: lay_out(plan), box, body, line });
    } catch (error) {
      if (closed) return;
      if (concert && leads_to_line(error)) location.replace(`#/line/${concert.queue_id}/${concert_id}`);
      else fill(body, problem_box(error, load));
    }
  }
  load();
  return () => {
    closed = true;
    parts?.close();
  };
}

function make_page({ concert, date_id, token, layout, box, body, line }) {
  const free = new Set();
  const picked = new Set();
  const mine = new Set();
  const map = make_seat_map(layout, toggle);
  const name = (hold) => (hold.concert_id === concert.concert_id && hold.date_id === date_id
    ? name_of(layout, hold.seat_no) : t("seat_name", { section: "", row: "", number: hold.seat_no }));
  const holds = make_holds({ token, name, on_change: holds_changed, on_error: failed });
  const count = h("span");
  const sum = h("p", { class: "sum", id: "sum" });
  const hold_button = h("button", { type: "button", class: "primary wide", id: "hold", onclick: hold });
  const pay_link = h("a", { class: "button primary wide", id: "to-pay", href: `#/pay/${concert.queue_id}/${concert.concert_id}` }, t("to_pay"));
  const dock = h("div", { class: "dock" });
  const many = h("input", { id: "many", inputmode: "numeric", value: "2", class: "few" });

  const state_of = (no) => (mine.has(no) ? "mine" : picked.has(no) ? "picked" : free.has(no) ? "free" : "taken");

  function draw() {
    map.show(state_of);
    count.textContent = t("free_count", { count: number(free.size) });
    const total = [...picked].reduce((all, no) => all + layout.seat(no).price, 0);
    sum.textContent = picked.size > 0 ? points(total) : "";
    hold_button.textContent = picked.size === 1 ? t("hold_one") : t("hold", { count: picked.size });
    draw_dock();
  }

  function draw_dock() {
    fill(dock, picked.size > 0 ? [h("div", { class: "row" }, h("span", {}, [...picked].map((no) => name_of(layout, no)).join(" · ")), sum), hold_button]
      : holds.list().length === 0 && h("p", { class: "soft" }, t("picked_none")),
      holds.list().length > 0 && [h("div", { class: "row" }, holds.left), holds.rows((row) => points(row.price), failed), picked.size === 0 && pay_link]);
  }

  function failed(error) {
    if (leads_to_line(error)) location.replace(`#/line/${concert.queue_id}/${concert.concert_id}`);
    else fill(box, problem_box(error));
  }

  function holds_changed(list) {
    mine.clear();
    for (const row of list) {
      if (row.concert_id === concert.concert_id && row.date_id === date_id) mine.add(row.seat_no);
    }
    for (const no of mine) picked.delete(no);
    draw();
  }

  function toggle(no) {
    const seat = name_of(layout, no);
    const state = state_of(no);
    fill(box);
    if (state === "free") {
      picked.add(no);
      say(t("picked_said", { seat, count: picked.size }));
    } else if (state === "picked") {
      picked.delete(no);
      say(t("unpicked_said", { seat }));
    } else {
      say(`${seat}: ${t(`legend_${state}`)}`);
    }
    draw();
  }

  /* Seats that the answer names as somebody else's leave the choice; the others stay, to be tried at once. */
  function lost(error) {
    for (const conflict of error.body?.conflict ?? []) picked.delete(conflict.seat_no);
  }

  async function take(path, request) {
    try {
      await holds.taken(await command(path, { token, body: { concert_id: concert.concert_id, date_id, ...request }, unsure: () => line.broken(2) }));
      picked.clear();
    } catch (error) {
      lost(error);
      if (leads_to_line(error)) return failed(error);
      throw error;
    } finally {
      line.whole();
      draw();
    }
  }
  const seat_list = () => [...picked].sort((a, b) => a - b);
  function hold() { return with_button(hold_button, box, () => take("/v1/holds", { seat: seat_list() })); }
  function best(event) {
    const wished = Number(many.value);
    return with_button(event.target, box, () => take("/v1/holds/best", { count: Number.isInteger(wished) && wished > 0 ? wished : 1 }));
  }

  /* Taken seats: told only when they were in the choice. */
  function gone(no) {
    free.delete(no);
    if (picked.delete(no) && !mine.has(no)) warn(t("taken_said", { seat: name_of(layout, no) }));
  }

  const stream = follow(`/v1/concerts/${concert.concert_id}/dates/${date_id}/seats/events`, {
    headers: headers_of(token),
    on: {
      seats(all) {
        set_clock(all.stamp_ms);
        const before = [...picked];
        free.clear();
        each(all.free, (no) => free.add(no));
        before.filter((no) => !free.has(no)).forEach(gone);
        line.whole();
        draw();
      },
      seat_changes(changes) {
        set_clock(changes.stamp_ms);
        each(changes.taken, gone);
        each(changes.freed, (no) => free.add(no));
        draw();
      },
      interrupted: () => line.broken(3),
      end: () => holds.refresh(),
    },
    broken: (seconds) => line.broken(seconds),
    refused: () => holds.refresh(),
  });

  function view(as_list) {
    map.as_list(as_list);
    map_button.setAttribute("aria-pressed", String(!as_list));
    list_button.setAttribute("aria-pressed", String(as_list));
    draw();
  }
  const map_button = h("button", { type: "button", id: "as-map", "aria-pressed": "true", onclick: () => view(false) }, t("as_map"));
  const list_button = h("button", { type: "button", id: "as-list", "aria-pressed": "false", onclick: () => view(true) }, t("as_list"));

  fill(body,
    h("div", { class: "row" }, h("div", { class: "language", role: "group", "aria-labelledby": "seats-title" }, map_button, list_button), count,
      h("form", { class: "row", onsubmit: (event) => event.preventDefault() },
        h("label", { for: "many", class: "beside" }, t("best_count"), many),
        h("button", { type: "button", id: "best", onclick: best }, t("best")))),
    legend(), map.element, dock);
  draw();
  holds.refresh();
  return {
    close() {
      stream.close();
      holds.close();
    },
  };
}
