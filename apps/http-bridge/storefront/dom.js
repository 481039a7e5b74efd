/* dom.js: elements made in one line each, and the two regions that a screen reader speaks from. Text is always set as
 * text, never as markup, so nothing that comes from a server can become an element. */

/* h("button", {class: "primary", onclick: f}, "Pay"): properties whose names begin with "on" are listeners, true sets an
 * empty attribute, false and null set none. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/* Put new content in place of the old without losing the keyboard's place in it: what had the focus by its id has it
 * again. */
export function fill(parent, ...children) {
  const focused = document.activeElement;
  const id = focused && parent.contains(focused) ? focused.id : "";
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (id) document.getElementById(id)?.focus();
}

function speak(id, text) {
  const region = document.getElementById(id);
  if (region.textContent === text) region.textContent = "";
  region.textContent = text;
}

/* Said when the reader has a moment, and said at once. */
export const say = (text) => speak("said", text);
export const warn = (text) => speak("warned", text);
