/* state.js: what this browser keeps over a reload: who the user is, the place in each line with its token, a payment
 * whose answer has not come, and the tickets. Everything is in localStorage under "usher."; nothing is in a cookie.
 *
 * In the demo the user is made here. A shop that has its own login gives the token in its own page (docs/http.md). */
import { make_uuid } from "./api.js";

function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`usher.${name}`)) ?? otherwise;
  } catch {
    return otherwise; /* somebody else's words under our name */
  }
}

const write = (name, value) => localStorage.setItem(`usher.${name}`, JSON.stringify(value));

export function user() {
  let uuid = read("user", "");
  if (!uuid) write("user", (uuid = make_uuid()));
  return uuid;
}

/* A place: {queue_id, concert_id, token}. */
export const place_of = (queue_id) => read("places", {})[queue_id] ?? null;
export const keep_place = (place) => write("places", { ...read("places", {}), [place.queue_id]: place });
export function drop_place(queue_id) {
  const places = read("places", {});
  delete places[queue_id];
  write("places", places);
}

/* A payment that was sent and has no answer yet: {key, token, reservation, queue_id, concert_id}. */
export const pending_payment = () => read("pending_payment", null);
export const keep_pending_payment = (payment) => write("pending_payment", payment);

/* Newest first: {payment_id, token, amount, paid_at_ms, seats: [text], title}. */
export const tickets = () => read("tickets", []);
export const ticket_of = (payment_id) => tickets().find((ticket) => String(ticket.payment_id) === String(payment_id));
export function keep_ticket(ticket) {
  write("tickets", [ticket, ...tickets().filter((other) => other.payment_id !== ticket.payment_id)]);
}
