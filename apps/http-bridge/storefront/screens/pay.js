/* pay.js: the holds, the points, the payment. Before a payment is sent, its key is kept in this browser; until its answer
 * is known the page asks again under that key, over reloads and crashes too, so nobody pays twice (M3, M7). */
import { ask, command, is_undecided, make_uuid } from "../api.js";
import { fill, h, say } from "../dom.js";
import { make_holds } from "../holds.js";
import { make_connection_line, problem_box, with_button } from "../notice.js";
import { lay_out, name_of } from "../plan.js";
import { drop_place, keep_pending_payment, keep_ticket, pending_payment, place_of } from "../state.js";
import { number, t } from "../text.js";
import { concert_of, leads_to_line } from "./dates.js";

const points = (value) => t("seat_price", { price: number(value) });

/* Carry a kept payment to its end: its ticket, or the refusal that took nothing. */
async function finish_payment(unsure) {
  const payment = pending_payment();
  try {
    const answer = await command("/v1/payments", { token: payment.token, body: { reservation: payment.reservation }, key: payment.key, unsure });
    const { payment_id, amount, paid_at_ms } = answer;
    keep_ticket({ payment_id, amount, paid_at_ms, token: payment.token, seat: payment.seat });
    keep_pending_payment(null);
    drop_place(payment.queue_id);
    say(t("paid_said"));
    location.replace(`#/ticket/${payment_id}`);
  } catch (error) {
    if (error.code && !is_undecided(error)) keep_pending_payment(null); /* decided: refused, nothing was taken */
    throw error;
  }
}

export function show_pay(screen, queue_id, concert_id) {
  const token = place_of(queue_id)?.token;
  const line = make_connection_line();
  const box = h("div");
  const list = h("div");
  const amount = h("input", { id: "amount", inputmode: "numeric", autocomplete: "off" });
  const balance_text = h("span", { class: "sum", id: "balance" });
  const total_text = h("span", { class: "sum", id: "total" });
  const missing_text = h("p", { id: "missing" });
  const pay_button = h("button", { type: "button", class: "primary wide", id: "pay", onclick: pay });
  const layouts = new Map();
  let balance = 0;
  let closed = false;

  const name = (hold) => {
    const layout = layouts.get(`${hold.concert_id}/${hold.date_id}`);
    return layout ? name_of(layout, hold.seat_no) : String(hold.seat_no);
  };
  const holds = make_holds({ token, name, on_change: draw, on_error: failed });
  const total = () => holds.list().reduce((all, hold) => all + hold.price, 0);

  function failed(error) {
    if (closed) return;
    if (leads_to_line(error)) location.replace(`#/line/${queue_id}/${concert_id}`);
    else fill(box, problem_box(error));
  }

  async function learn_layouts(rows) {
    for (const { concert_id: concert, date_id: date } of rows) {
      const key = `${concert}/${date}`;
      if (!layouts.has(key)) layouts.set(key, lay_out(await ask("GET", `/v1/concerts/${concert}/dates/${date}/plan`)));
    }
  }

  async function draw(rows) {
    await learn_layouts(rows).catch(() => {});
    if (closed) return;
    const missing = Math.max(0, total() - balance);
    fill(list, rows.length > 0 ? [holds.left, holds.rows((row) => points(row.price), failed)]
      : h("p", {}, t("nothing_held"), " ", h("a", { href: `#/concert/${concert_id}` }, t("dates"))));
    balance_text.textContent = points(balance);
    total_text.textContent = points(total());
    missing_text.textContent = missing > 0 ? t("missing", { points: number(missing) }) : "";
    if (missing > 0 && document.activeElement !== amount) amount.value = String(missing);
    pay_button.textContent = t("pay", { points: number(total()) });
    pay_button.hidden = rows.length === 0;
    pay_button.setAttribute("aria-disabled", String(missing > 0));
  }

  async function load() {
    try {
      balance = (await ask("GET", "/v1/balance", { token })).balance;
      await holds.refresh();
    } catch (error) {
      failed(error);
    }
  }

  function charge(event) {
    event.preventDefault();
    const wished = Number(amount.value.replaceAll(/[,\s]/g, ""));
    if (!Number.isSafeInteger(wished) || wished < 1) {
      fill(box, h("p", { class: "notice bad", role: "alert" }, t("amount_wrong")));
      amount.focus();
      return;
    }
    with_button(document.getElementById("charge"), box, async () => {
      const answer = await command("/v1/charges", { token, body: { amount: wished }, unsure: () => line.broken(2) });
      line.whole();
      balance = answer.balance;
      say(t("charged_said", { points: number(balance) }));
      amount.value = "";
      await draw(holds.list());
      pay_button.focus();
    });
  }

  function pay() {
    if (total() > balance) {
      fill(box, h("p", { class: "notice bad", role: "alert" }, t("missing", { points: number(total() - balance) })));
      amount.focus();
      return;
    }
    with_button(pay_button, box, async () => {
      pay_button.textContent = t("paying");
      const seat = await seats_in_words(holds.list());
      keep_pending_payment({ key: make_uuid(), token, queue_id, reservation: seat.map((hold) => hold.reservation_id), seat });
      await carry_on();
    });
  }

  /* What the ticket will say of its seats. It is kept with the payment, for afterwards the token sees no dates. */
  async function seats_in_words(rows) {
    return Promise.all(rows.map(async (row) => {
      const concert = await concert_of(row.concert_id);
      const page = await ask("GET", `/v1/concerts/${row.concert_id}/dates?all=true&after_date_id=${row.date_id - 1}`, { token });
      return { reservation_id: row.reservation_id, title: concert.title, venue: concert.venue, name: name(row), starts_at_ms: page.date[0]?.starts_at_ms };
    }));
  }

  async function carry_on() {
    try {
      await finish_payment(() => fill(box, h("p", { class: "notice" }, t("unsure"))));
    } catch (error) {
      failed(error);
      await load();
    }
  }

  fill(screen, h("h1", {}, t("payment")), line.element, box, list,
    h("div", { class: "card" },
      h("p", { class: "row" }, h("span", {}, t("total")), total_text),
      h("p", { class: "row" }, h("span", {}, t("balance")), balance_text), missing_text,
      h("form", { class: "row", onsubmit: charge }, h("label", { for: "amount" }, t("charge_amount"), amount),
        h("button", { type: "submit", id: "charge" }, t("charge")))),
    h("div", { class: "dock" }, pay_button));
  if (pending_payment()) carry_on();
  else load();
  return () => {
    closed = true;
    holds.close();
  };
}

