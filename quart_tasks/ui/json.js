// JSON as a tree that folds.

import { copyButton } from "./copy.js";
import { fill, h } from "./dom.js";
import { isRoughNumber, write } from "./exact.js";
import { number } from "./format.js";

const AT_ONCE = 100; // entries of one list that are shown before one asks for more
const NODES = 2000; // that one level more may open
const LONG = 400; // characters of a text
const PREVIEW = 70;
const SMALL = 40; // entries of what begins with two levels open

/**
 * A value with buttons to fold it by a level, and to copy it.
 *
 * @param {any} value
 * @param {string} what "the result"
 */
export function folded(value, what) {
  const body = h("div.json");
  let depth = small(value) ? 2 : 1;
  /** @param {number} by */
  const draw = (by) => {
    depth = Math.max(0, depth + by);
    fill(body, node("", value, depth, { left: NODES }));
  };
  const bar = h("div.tools", {},
    isContainer(value) && [
      h("button", { type: "button", "aria-label": "Fold a level", onclick: () => draw(-1) }, "−"),
      h("button", { type: "button", "aria-label": "Unfold a level", onclick: () => draw(1) }, "+"),
    ],
    copyButton(what, () => write(value, 2))); // prettier-ignore
  draw(0);
  return h("div.folded", {}, bar, body);
}

/** A value, folded, in a line. @param {any} value */
export const inLine = (value) => h("div.json", {}, node("", value, 0, { left: 0 }));

/** Whether two levels of a value are few lines. @param {any} value */
function small(value) {
  let left = SMALL;
  if (isContainer(value))
    for (const each of Object.values(value))
      if ((left -= isContainer(each) ? Object.keys(each).length + 1 : 1) < 0) return false;
  return true;
}

/** @param {any} value */
const isContainer = (value) => value !== null && typeof value === "object";

/**
 * @param {string} key
 * @param {any} value
 * @param {number} depth
 * @param {{left: number}} nodes that may still be opened unasked
 * @returns {HTMLElement}
 */
function node(key, value, depth, nodes) {
  const name = key && [h("span.key", {}, key), ": "];
  if (!isContainer(value)) return h("div.leaf", {}, name, leaf(value));
  const isList = Array.isArray(value);
  const entries = isList ? value.entries() : Object.entries(value);
  const count = isList ? value.length : Object.keys(value).length;
  if (!count) return h("div.leaf", {}, name, isList ? "[]" : "{}");
  const about = `${number(count)} ${isList ? "item" : "key"}${count > 1 ? "s" : ""}`;
  const element = h("details", {}, h("summary", {}, name, h("span.about", {}, about), " ",
    h("span.preview", { "aria-hidden": "true" }, preview(value)))); // prettier-ignore
  const show = () => more(element, [...entries], 0, depth - 1, nodes);
  nodes.left -= Math.min(count, AT_ONCE);
  if (depth > 0 && nodes.left > 0) {
    element.open = true;
    show();
  } else element.addEventListener("toggle", show, { once: true });
  return element;
}

/** The beginning of a list or an object, for as long as it is folded. @param {any} value */
function preview(value) {
  const isList = Array.isArray(value);
  const parts = [];
  let room = PREVIEW;
  for (const [key, each] of isList ? value.entries() : Object.entries(value)) {
    if (room < 0) {
      parts.push("…");
      break;
    }
    const shown = !isContainer(each) ? write(each).slice(0, PREVIEW)
      : Array.isArray(each) ? "[…]" : "{…}"; // prettier-ignore
    parts.push(isList ? shown : `${key}: ${shown}`);
    room -= parts[parts.length - 1].length;
  }
  return isList ? `[${parts.join(", ")}]` : `{${parts.join(", ")}}`;
}

/**
 * @param {HTMLElement} element
 * @param {[string | number, any][]} entries
 * @param {number} from
 * @param {number} depth
 * @param {{left: number}} nodes
 */
function more(element, entries, from, depth, nodes) {
  const to = Math.min(entries.length, from + AT_ONCE);
  for (const [key, value] of entries.slice(from, to))
    element.append(node(String(key), value, depth, nodes));
  if (to === entries.length) return;
  const next = Math.min(AT_ONCE, entries.length - to);
  const button = h("button", { type: "button" },
    `${number(next)} more of ${number(entries.length - to)}`); // prettier-ignore
  button.addEventListener("click", () => {
    button.remove();
    more(element, entries, to, depth, nodes);
  });
  element.append(button);
}

/** @param {any} value */
function leaf(value) {
  if (typeof value === "string") return string(value);
  const kind = value === null ? "null" : typeof value;
  if (isRoughNumber(value)) {
    const title = "This browser's numbers have 53 bits: the last digits may be others.";
    return h("span.number", { title }, `≈ ${value}`);
  }
  return h(`span.${kind}`, {}, String(value));
}

/** @param {string} value */
function string(value) {
  const shown = JSON.stringify(value);
  if (shown.length <= LONG) return h("span.string", {}, shown);
  const element = h("span.string", {}, `${shown.slice(0, LONG)}… `);
  const rest = `${number(shown.length - LONG)} more characters`;
  element.append(h("button", { type: "button", onclick: () => fill(element, shown) }, rest));
  return element;
}
