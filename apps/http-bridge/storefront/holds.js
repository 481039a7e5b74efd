/* holds.js: the user's holds and their countdown, as the seats page and the payment page show them. One deadline is
 * shown, the earliest: when it passes, the list is asked for again and what is over is said. */
import { ask, command, now_ms } from "./api.js";
import { h, say, warn } from "./dom.js";
import { clock, countdown, t } from "./text.js";

const SOON_MS = 60_000;

/* on_change(holds) is called with each new list; name(hold) says which seat it is. */
export function make_holds({ token, name, on_change, on_error }) {
  const left = h("span", { class: "left", role: "timer" });
  let holds = [];
  let warned = false;
  let asking = false;

  const until = () => Math.min(...holds.map((hold) => hold.until_ms));

  async function refresh() {
    if (asking) return;
    asking = true;
    try {
      holds = (await ask("GET", "/v1/holds", { token })).hold;
      tick();
      on_change(holds);
    } catch (error) {
      on_error(error);
    } finally {
      asking = false;
    }
  }

  function tick() {
    if (holds.length === 0) {
      left.textContent = "";
      return;
    }
    const ms = until() - now_ms();
    left.textContent = t("held_for", { time: countdown(ms) });
    left.classList.toggle("soon", ms < SOON_MS);
    if (ms < SOON_MS && ms > 0 && !warned) {
      warned = true;
      warn(t("hold_soon_over"));
    }
    if (ms <= 0) {
      holds = [];
      warn(t("hold_over"));
      on_change(holds);
      refresh();
    }
  }
  const timer = setInterval(tick, 500);

  return {
    left,
    refresh,
    list: () => holds,
    taken(answer) {
      warned = false;
      say(t("held_said", { count: answer.hold.length, time: clock(answer.until_ms) }));
      return refresh();
    },
    /* A row for each hold, with a button that gives it back. */
    rows: (price_of, on_failure) =>
      h("ul", { class: "list" }, holds.map((hold) =>
        h("li", { class: "row" }, h("span", {}, name(hold)), h("span", {}, price_of(hold)),
          h("button", { type: "button", id: `give-${hold.reservation_id}`, "aria-label": `${t("give_back")}: ${name(hold)}`,
                        onclick: () => give_back(hold, on_failure) }, t("give_back"))))),
    close: () => clearInterval(timer),
  };

  function give_back(hold, on_failure) {
    command("/v1/holds/release", { token, body: { reservation: [hold.reservation_id] } })
      .then(() => say(t("given_back", { seat: name(hold) })))
      .catch(on_failure)
      .then(refresh);
  }
}
