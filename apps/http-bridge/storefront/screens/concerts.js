/* concerts.js: what is played. A concert leads to its line, or straight on when this browser has a place there. */
import { ask } from "../api.js";
import { fill, h } from "../dom.js";
import { problem_box } from "../notice.js";
import { place_of } from "../state.js";
import { t } from "../text.js";

/* All pages of the list. */
async function all_concerts() {
  const concerts = [];
  for (let after = 0, more = true; more; ) {
    const page = await ask("GET", `/v1/concerts?after_concert_id=${after}`);
    concerts.push(...page.concert);
    more = page.more;
    after = concerts.at(-1)?.concert_id ?? 0;
  }
  return concerts;
}

const card = (concert) =>
  h("li", { class: "card" },
    h("h2", {}, concert.title),
    h("p", { class: "soft" }, `${concert.venue} · ${t("dates_count", { count: concert.date_count })}`),
    h("a", { class: "button primary", href: `#/line/${concert.queue_id}/${concert.concert_id}`,
             "aria-label": `${t(place_of(concert.queue_id) ? "go_on" : "queue_up")}: ${concert.title}` },
      t(place_of(concert.queue_id) ? "go_on" : "queue_up")));

export function show_concerts(screen) {
  const list = h("div", {}, h("p", { class: "soft" }, t("loading")));
  fill(screen, h("h1", {}, t("concerts")), list);

  async function load() {
    try {
      const concerts = await all_concerts();
      fill(list, concerts.length > 0 ? h("ul", { class: "cards" }, concerts.map(card)) : h("p", {}, t("concerts_none")));
    } catch (error) {
      fill(list, problem_box(error, load));
    }
  }
  load();
  return () => {};
}
