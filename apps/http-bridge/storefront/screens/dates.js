/* dates.js: the dates of a concert, for who has been admitted. Who has not is sent to the line. */
import { ask, now_ms } from "../api.js";
import { fill, h } from "../dom.js";
import { problem_box } from "../notice.js";
import { place_of } from "../state.js";
import { moment, number, t } from "../text.js";

export async function concert_of(concert_id) {
  const page = await ask("GET", `/v1/concerts?after_concert_id=${concert_id - 1}`);
  const concert = page.concert.find((row) => row.concert_id === concert_id);
  if (!concert) throw new Error(t("not_found"));
  return concert;
}

async function all_dates(concert_id, token) {
  const dates = [];
  for (let after = 0, more = true; more; ) {
    const page = await ask("GET", `/v1/concerts/${concert_id}/dates?all=true&after_date_id=${after}`, { token });
    dates.push(...page.date);
    more = page.more;
    after = dates.at(-1)?.date_id ?? 0;
  }
  return dates;
}

function card(concert_id, date) {
  const open = date.status === "on_sale" || date.status === "all_held";
  const status = t(`status_${date.status}`, { time: moment(date.opens_at_ms) });
  return h("li", { class: "card" },
    h("h2", {}, moment(date.starts_at_ms)),
    h("p", {}, `${status} · ${t("free_of", { free: number(date.free_count), all: number(date.seat_count) })} · `,
      t("price_from", { price: t("seat_price", { price: number(date.price_least) }) })),
    open && h("a", { class: "button primary", href: `#/concert/${concert_id}/date/${date.date_id}`,
                     "aria-label": `${t("choose_seats")}: ${moment(date.starts_at_ms)}` }, t("choose_seats")));
}

/* Codes that mean: this token lets nobody in (any more). */
export const leads_to_line = (error) => error.code?.startsWith("TOKEN_");

export function show_dates(screen, concert_id) {
  const list = h("div", {}, h("p", { class: "soft" }, t("loading")));
  const title = h("h1", {}, t("dates"));
  const about = h("p", { class: "soft" });
  let closed = false;
  fill(screen, title, about, list);

  async function load() {
    let concert = null;
    try {
      concert = await concert_of(concert_id);
      about.textContent = `${concert.title} · ${concert.venue}`;
      const dates = await all_dates(concert_id, place_of(concert.queue_id)?.token);
      if (closed) return;
      const coming = dates.filter((date) => date.status !== "past" && date.starts_at_ms > now_ms());
      fill(list, coming.length > 0 ? h("ul", { class: "cards" }, coming.map((date) => card(concert_id, date))) : h("p", {}, t("dates_none")));
    } catch (error) {
      if (closed) return;
      if (concert && leads_to_line(error)) location.replace(`#/line/${concert.queue_id}/${concert_id}`);
      else fill(list, problem_box(error, load));
    }
  }
  load();
  return () => {
    closed = true;
  };
}
