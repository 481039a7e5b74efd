/* app.js: the storefront's frame: which screen an address shows, the language, and where the focus goes.
 *
 *     #/                        concerts
 *     #/line/QUEUE/CONCERT      the waiting room
 *     #/concert/C               its dates
 *     #/concert/C/date/D        the live seat map
 *     #/pay/QUEUE/CONCERT       points and payment
 *     #/ticket/PAYMENT, #/tickets
 *
 * A screen is a function (element, numbers of the address ...) -> close(). Data flows one way: answers and events come
 * in, a screen draws what they say. A payment whose answer was lost comes before any other screen. */
import { fill, h } from "./dom.js";
import { show_concerts } from "./screens/concerts.js";
import { show_dates } from "./screens/dates.js";
import { show_line } from "./screens/line.js";
import { show_pay } from "./screens/pay.js";
import { show_seats } from "./screens/seats.js";
import { show_ticket, show_tickets } from "./screens/ticket.js";
import { pending_payment } from "./state.js";
import { LANGUAGES, choose, current, t } from "./text.js";

const ROUTES = [
  [/^#?\/?$/, show_concerts],
  [/^#\/line\/(\d+)\/(\d+)$/, show_line],
  [/^#\/concert\/(\d+)$/, show_dates],
  [/^#\/concert\/(\d+)\/date\/(\d+)$/, show_seats],
  [/^#\/pay\/(\d+)\/(\d+)$/, show_pay],
  [/^#\/ticket\/(\d+)$/, show_ticket],
  [/^#\/tickets$/, show_tickets],
];

const main = document.getElementById("main");
let close = () => {};

function draw_frame() {
  fill(document.getElementById("language"), Object.entries(LANGUAGES).map(([tag, name]) =>
    h("button", { type: "button", id: `language-${tag}`, lang: tag, "aria-pressed": String(tag === current()), onclick: () => speak(tag) }, name)));
  document.getElementById("language").setAttribute("aria-label", t("language"));
  fill(document.getElementById("account"), h("a", { href: "#/tickets" }, t("my_tickets")));
  document.getElementById("skip").textContent = t("skip");
}

function show(focus) {
  close();
  const payment = pending_payment();
  if (payment && !location.hash.startsWith("#/pay/")) {
    location.replace(`#/pay/${payment.queue_id}/0`);
    return;
  }
  const [match, screen] = ROUTES.map(([pattern, show_it]) => [pattern.exec(location.hash), show_it]).find(([found]) => found) ?? [null, null];
  const element = h("div");
  fill(main, element);
  document.title = "Usher";
  if (match) {
    close = screen(element, ...match.slice(1).map(Number));
  } else {
    close = () => {};
    fill(element, h("h1", {}, t("not_found")), h("a", { href: "#/" }, t("back_to_concerts")));
  }
  if (focus) main.focus();
  scrollTo(0, 0);
}

function speak(tag) {
  choose(tag);
  draw_frame();
  show(false);
}

/* The skip link's own address would be taken for a screen's. */
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => show(true));
draw_frame();
show(false);
