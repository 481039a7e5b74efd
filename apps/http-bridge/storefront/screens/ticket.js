/* ticket.js: a ticket with its code, and the list of all tickets of this browser. The picture is kept once it was seen,
 * so that it can be shown at the entrance without a network. */
import { headers_of } from "../api.js";
import { fill, h } from "../dom.js";
import { problem_box } from "../notice.js";
import { keep_ticket, ticket_of, tickets } from "../state.js";
import { moment, number, t } from "../text.js";

/* The picture as an image of its own: nothing in it can become a part of this page. */
function picture_of(svg, label) {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  return h("img", { src: address, alt: label, width: 320, height: 320, onload: () => URL.revokeObjectURL(address) });
}

async function svg_of(ticket) {
  if (ticket.svg) return ticket.svg;
  const response = await fetch(`/v1/payments/${ticket.payment_id}/ticket.svg`, { headers: headers_of(ticket.token), cache: "no-store" });
  if (!response.ok) throw new Error((await response.json()).detail);
  const svg = await response.text();
  keep_ticket({ ...ticket, svg });
  return svg;
}

const seat_row = (seat) =>
  h("li", {}, h("strong", {}, seat.title), h("br"), `${seat.venue} · ${moment(seat.starts_at_ms)}`, h("br"), seat.name);

export function show_ticket(screen, payment_id) {
  const ticket = ticket_of(payment_id);
  const code = h("div", {}, h("p", { class: "soft" }, t("loading")));
  if (!ticket) {
    fill(screen, h("h1", {}, t("my_tickets")), h("p", {}, t("not_found")));
    return () => {};
  }
  const label = t("ticket_code", { seats: ticket.seat.map((seat) => seat.name).join(" · ") });

  async function load() {
    try {
      fill(code, picture_of(await svg_of(ticket), label));
    } catch (error) {
      fill(code, problem_box(error, load));
    }
  }

  fill(screen, h("div", { class: "ticket card" }, h("h1", {}, t("ticket")), code, h("p", {}, t("ticket_help")),
    h("ul", { class: "list" }, ticket.seat.map(seat_row)),
    h("p", { class: "soft" }, `${t("ticket_payment", { number: ticket.payment_id })} · ${t("seat_price", { price: number(ticket.amount) })} · ${moment(ticket.paid_at_ms)}`),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => print() }, t("print")), h("a", { class: "button", href: "#/" }, t("back_to_concerts")))));
  load();
  return () => {};
}

export function show_tickets(screen) {
  const rows = tickets().map((ticket) =>
    h("li", { class: "card" }, h("a", { href: `#/ticket/${ticket.payment_id}` },
      `${ticket.seat[0]?.title ?? ""} · ${moment(ticket.paid_at_ms)} · ${ticket.seat.map((seat) => seat.name).join(" · ")}`)));
  fill(screen, h("h1", {}, t("my_tickets")), rows.length > 0 ? h("ul", { class: "cards" }, rows) : h("p", {}, t("tickets_none")));
  return () => {};
}
