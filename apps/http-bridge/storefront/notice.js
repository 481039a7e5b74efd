/* notice.js: what went wrong, in one box: the sentence that the service gave in the reader's language, its stable code,
 * and what can be done. And a line that comes and goes with the connection. */
import { Unreachable } from "./api.js";
import { fill, h, say, warn } from "./dom.js";
import { t } from "./text.js";

/* The box for an error, said aloud at once; retry, if given, is what its button does. */
export function problem_box(error, retry) {
  const text = error instanceof Unreachable ? t("offline", { seconds: 5 }) : error.message;
  warn(text);
  return h("div", { class: "notice bad" },
    h("p", {}, text),
    error.code && h("p", { class: "code" }, t("problem_code", { code: error.code })),
    retry && h("button", { type: "button", onclick: retry }, t("retry")));
}

/* Run a task for a button: it can't be pressed twice meanwhile, and what goes wrong stands in box. */
export async function with_button(button, box, task) {
  if (button.disabled) return;
  button.disabled = true;
  fill(box);
  try {
    await task();
  } catch (error) {
    fill(box, problem_box(error));
  } finally {
    button.disabled = false;
  }
}

/* The connection's line: broken(seconds) shows it, whole() takes it away and says so. */
export function make_connection_line() {
  const element = h("div");
  let is_broken = false;
  return {
    element,
    broken(seconds) {
      fill(element, h("div", { class: "notice bad" }, t("offline", { seconds })));
      if (!is_broken) warn(t("offline", { seconds }));
      is_broken = true;
    },
    whole() {
      fill(element);
      if (is_broken) say(t("online_again"));
      is_broken = false;
    },
  };
}
