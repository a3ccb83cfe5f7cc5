// The page of all tasks: a query, what to do with what matches, and the list.

/** @import {Context} from "../main.js" */
/** @import {Place} from "./list.js" */

import { h } from "../dom.js";
import { STATES, parse, written } from "../query.js";
import { Bulk } from "./bulk.js";
import { List } from "./list.js";

export const title = "Tasks";

const PAUSE = 150; // ms after the last key before the list follows

/** @type {Place | null} */
let left = null; // to come back to from a task's page

/** Whether the keyboard is in no part of the page. @param {Element} target */
const isNowhere = (target) => target === document.body || target.id === "main";

/**
 * @param {HTMLElement} main
 * @param {Context} context
 */
export function open(main, { store, query: address }) {
  let query = parse(address.get("q") ?? "");
  let typing = false; // the present entry of the browser's history is for what is being typed
  let timer = 0;

  const box = h("input", { type: "search", "aria-label": "Query", "aria-keyshortcuts": "/",
    "aria-describedby": "query-help", placeholder: "state:failed name:primes text",
    autocomplete: "off", spellcheck: false, value: address.get("q") ?? "" }); // prettier-ignore
  const help = h("p.unseen", { id: "query-help" },
    "state: and name: are the whole word; other text is part of the name, the key or the error " +
      "message, or the start of the id. Quotes hold words together."); // prettier-ignore
  const chips = ["", ...STATES].map((state) =>
    h("button.chip", { type: "button", onclick: () => choose(state) },
      state ? h(`span.state.${state}`, {}, state) : "all")); // prettier-ignore
  const keys = h(
    "p.keys",
    { "aria-hidden": "true" },
    ...["/ search", "↑↓ move", "Enter open", "Space select", "Esc clear"].map((each) =>
      h("span", {}, h("kbd", {}, each.split(" ")[0]), ` ${each.split(" ")[1]}`),
    ),
  );

  /** @type {List} */
  const list = new List(store, query, {
    act: (id) => void bulk.one(id),
    picked: () => bulk.update(),
    clear: () => box.value && show("", true),
  }, left); // prettier-ignore
  const bulk = new Bulk(store, () => list, () => query); // prettier-ignore

  /** @param {string} state */
  function choose(state) {
    show(written({ ...query, state: query.state === state ? "" : state }), true);
  }

  /**
   * @param {string} line
   * @param {boolean} whole it will not be typed further
   */
  function show(line, whole) {
    clearTimeout(timer);
    const url = line ? `#/tasks?q=${encodeURIComponent(line)}` : "#/tasks";
    if (url !== location.hash) {
      if (typing) history.replaceState(null, "", url);
      else history.pushState(null, "", url);
      typing = true;
    }
    if (whole) typing = false;
    if (box.value !== line) box.value = line;
    const before = JSON.stringify(query);
    query = parse(line);
    mark();
    if (JSON.stringify(query) !== before) list.open(query);
  }

  function mark() {
    ["", ...STATES].forEach((state, at) => (chips[at].ariaPressed = String(query.state === state)));
    bulk.update();
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const target = /** @type {Element} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
    if (event.key === "/") box.focus();
    else if (event.key === "ArrowDown" && isNowhere(target)) list.grid.focus();
    else return;
    event.preventDefault();
  }

  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => show(box.value, false), PAUSE);
  });
  box.addEventListener("change", () => show(box.value, true));
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") list.grid.focus();
    else if (event.key !== "Escape") return;
    else if (box.value) show("", true);
    else list.grid.focus();
    event.preventDefault();
  });
  document.addEventListener("keydown", onKey);

  main.append(
    h("div.ask", {}, h("h1", {}, title), box, help,
      h("div.chips", { role: "group", "aria-label": "State" }, ...chips)),
    bulk.element, list.grid.element, h("div.foot", {}, list.foot, keys)); // prettier-ignore
  mark();
  return () => {
    left = list.place;
    clearTimeout(timer);
    document.removeEventListener("keydown", onKey);
    list.close();
  };
}
