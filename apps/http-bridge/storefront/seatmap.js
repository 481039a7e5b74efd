/* seatmap.js: a date's seats as a grid for eyes and arrow keys, and as a list. Both show the same four states, and a
 * state is never told by colour alone: free has a number in a solid frame, taken a cross in a dotted one, chosen a
 * double frame, one's own hold a disc; the name of each for a screen reader ends with the state in words.
 *
 *     const map = make_seat_map(layout, (no) => toggle(no));
 *     map.element; map.show(no => "free" | "taken" | "picked" | "mine"); map.as_list(true);
 *
 * One seat of the grid is in the tab order (a roving tabindex, as the grid pattern of ARIA asks for): Tab enters and
 * leaves, arrows, Home and End move inside. A show() that changes nothing touches nothing. A large hall is shown
 * ROWS_AT_ONCE rows at a time. */
import { fill, h } from "./dom.js";
import { name_of } from "./plan.js";
import { number, t } from "./text.js";

const ROWS_AT_ONCE = 40;
const LIST_AT_ONCE = 100;

export function make_seat_map(layout, on_choose) {
  const buttons = new Map(); /* seat number -> its button in the grid */
  const shown = new Map(); /* seat number -> the state its button shows */
  const element = h("div");
  let state_of = () => "taken";
  let listed = false;
  let rows_shown = Math.min(ROWS_AT_ONCE, layout.rows.length);
  let list_shown = LIST_AT_ONCE;
  let entry = 0; /* the seat that Tab enters */

  const label = (no, state) =>
    `${name_of(layout, no)}, ${t("seat_price", { price: number(layout.seat(no).price) })}, ${t(`legend_${state}`)}`;

  function paint(no) {
    const state = state_of(no);
    if (shown.get(no) === state) return;
    shown.set(no, state);
    const button = buttons.get(no);
    button.className = `seat ${state}`;
    button.textContent = state === "taken" ? "" : String(layout.seat(no).number);
    button.setAttribute("aria-label", label(no, state));
    button.setAttribute("aria-pressed", String(state === "picked" || state === "mine"));
    button.setAttribute("aria-disabled", String(state === "taken"));
  }

  /* --- moving ----------------------------------------------------------------------------------------- */
  function enter(no) {
    buttons.get(entry)?.setAttribute("tabindex", "-1");
    entry = no;
    buttons.get(no)?.setAttribute("tabindex", "0");
  }

  function neighbour(no, key) {
    const index = layout.rows.findLastIndex((row) => row.first <= no);
    const row = layout.rows[index];
    const at = no - row.first;
    const beside = (other) => other && index_shown(other) && other.first + Math.min(at, other.count - 1);
    switch (key) {
      case "ArrowLeft": return at > 0 ? no - 1 : 0;
      case "ArrowRight": return at < row.count - 1 ? no + 1 : 0;
      case "ArrowUp": return beside(layout.rows[index - 1]) || 0;
      case "ArrowDown": return beside(layout.rows[index + 1]) || 0;
      case "Home": return row.first;
      case "End": return row.first + row.count - 1;
      default: return undefined;
    }
  }
  const index_shown = (row) => buttons.has(row.first);

  function on_key(event, no) {
    const next = neighbour(no, event.key);
    if (next === undefined) return;
    event.preventDefault();
    if (next === 0) return;
    enter(next);
    buttons.get(next).focus();
  }

  /* --- the grid --------------------------------------------------------------------------------------- */
  function make_button(no) {
    const button = h("button", { type: "button", id: `seat-${no}`, tabindex: no === entry ? "0" : "-1",
                                 onclick: () => { enter(no); on_choose(no); },
                                 onkeydown: (event) => on_key(event, no) });
    buttons.set(no, button);
    shown.delete(no);
    paint(no);
    return h("td", { role: "gridcell" }, button);
  }

  function make_row(row) {
    const seats = Array.from({ length: row.count }, (_, i) => make_button(row.first + i));
    return h("tr", { role: "row" }, h("th", { role: "rowheader", scope: "row" }, String(row.row)), seats);
  }

  /* Rows of one section stand together under its name and price. */
  function make_grid() {
    buttons.clear();
    const tables = [];
    let body = null;
    let before = null;
    for (const row of layout.rows.slice(0, rows_shown)) {
      if (before === null || row.section !== before.section || row.price !== before.price) {
        const title = `${row.section} · ${t("seat_price", { price: number(row.price) })}`;
        body = h("tbody");
        tables.push(h("h2", {}, title), h("div", { class: "scroll" },
          h("table", { class: "seats", role: "grid", "aria-label": title }, body)));
      }
      body.append(make_row(row));
      before = row;
    }
    const more = rows_shown < layout.rows.length &&
      h("button", { type: "button", id: "more-rows", onclick: () => { rows_shown += ROWS_AT_ONCE; draw(); } }, t("show_more"));
    return [h("div", { class: "stage", "aria-hidden": "true" }, t("stage")), h("p", { class: "soft" }, t("map_help")), tables, more];
  }

  /* --- the list: what can be chosen, in order ----------------------------------------------------------- */
  function list_row(no, state) {
    return h("li", {}, h("button", { type: "button", id: `row-${no}`, "aria-pressed": String(state !== "free"), onclick: () => on_choose(no) },
      h("span", {}, name_of(layout, no)),
      h("span", {}, `${t("seat_price", { price: number(layout.seat(no).price) })} · ${t(`legend_${state}`)}`)));
  }

  function make_list() {
    const rows = [];
    let more = false;
    for (let no = 1; no <= layout.seat_count && !more; no++) {
      const state = state_of(no);
      if (state === "taken") continue;
      more = rows.length === list_shown;
      if (!more) rows.push(list_row(no, state));
    }
    return [h("ul", { class: "list" }, rows),
      more && h("button", { type: "button", id: "more-list", onclick: () => { list_shown += LIST_AT_ONCE; draw(); } }, t("show_more"))];
  }

  function draw() {
    if (entry === 0) entry = layout.rows.length > 0 ? layout.rows[0].first : 0;
    fill(element, listed ? make_list() : make_grid());
  }

  return {
    element,
    show(states) {
      state_of = states;
      if (listed || buttons.size === 0) draw();
      else for (const no of buttons.keys()) paint(no);
    },
    as_list(yes) {
      listed = yes;
      buttons.clear();
      draw();
    },
    is_list: () => listed,
  };
}

export const legend = () =>
  h("ul", { class: "legend" }, ["free", "picked", "mine", "taken"].map((state) =>
    h("li", {}, h("span", { class: `seat key ${state}`, "aria-hidden": "true" }), t(`legend_${state}`))));
