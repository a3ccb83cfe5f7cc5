// What can be submitted: each type of task with its docstring and a form.

/** @import {Context} from "../main.js" */
/** @import {TaskType} from "../shapes.js" */
/** @import {Desk} from "./submit.js" */

import { get, sentence } from "../api.js";
import { fill, h } from "../dom.js";
import { duration } from "../format.js";
import { deskOf } from "./submit.js";

export const title = "Types";

/**
 * @param {HTMLElement} main
 * @param {Context} context
 */
export function open(main, context) {
  const { store, rest } = context;
  let isOpen = true;
  let isAway = false;
  /** @type {Desk | null} */
  let desk = null;
  const place = h("div.types", {}, h("p.empty", { role: "status" }, "Asking the server …"));
  main.append(h("div.page-head", {}, h("h1", {}, title)), place);

  /** @param {TaskType[]} types */
  function show(types) {
    const type = types.find(({ name }) => name === rest);
    if (!types.length)
      fill(place, h("p.panel.empty", {}, "This server has no type of task that can be submitted. ",
        "A function under ", h("code", {}, "@tasks.task"), " is one: the README shows how."));
    else if (!rest) fill(place, h("ul.type-list", {}, types.map(entry)));
    else if (!type)
      fill(
        place,
        sideOf(types, rest),
        h("p.panel.empty", {}, `There is no type “${rest}”: choose another.`),
      );
    else {
      desk = deskOf(type, store);
      for (const task of desk.tasks) task.open(store);
      fill(place, sideOf(types, rest), h("section.type.panel", { "aria-label": type.name },
        about(type), desk.form.element), desk.list);
      document.title = `${type.name} · ${title} · ${location.host}`;
    }
  }

  async function load() {
    try {
      const { types } = await get("/types");
      isAway = false;
      if (isOpen) show(types);
    } catch (error) {
      isAway = true;
      if (isOpen)
        fill(place, h("p.panel.empty", { role: "alert" }, `${sentence(error)} `,
          h("button", { onclick: load }, "Try again")));
    }
  }

  const onLive = () => isAway && void load();
  addEventListener("live", onLive);
  void load();
  return () => {
    isOpen = false;
    removeEventListener("live", onLive);
    for (const task of desk?.tasks ?? []) task.close();
  };
}

/** @param {string} name */
const address = (name) => `#/types/${encodeURIComponent(name)}`;

/** @param {TaskType} type */
export const entry = (type) =>
  h("li.panel", {}, h("h2", {}, h("a", { href: address(type.name) }, type.name)), " ",
    h("code.signature", {}, signature(type)),
    type.doc ? docOf(type.doc.split("\n\n")[0]) : h("p.doc.quiet", {}, "Without a docstring."),
    h("p.how-run", {}, facts(type).join(" · ")));

/** @param {TaskType[]} types @param {string} chosen */
export const sideOf = (types, chosen) =>
  h("nav.type-side", { "aria-label": "Types" }, types.map(({ name, executor }) =>
    h("a", { href: address(name), "aria-current": name === chosen ? "page" : null },
      name, " ", h("small", {}, executor))));

/** @param {TaskType} type */
function signature({ parameters }) {
  const required = new Set(parameters.required);
  const names = Object.entries(parameters.properties).map(([name, schema]) => {
    if (required.has(name)) return name;
    const value = /** @type {any} */ (schema).default;
    const shown = value === undefined ? "…" : JSON.stringify(value);
    return `${name} = ${shown.length > 24 ? "…" : shown}`;
  });
  if (parameters.additionalProperties !== false) names.push("…");
  return `(${names.join(", ")})`;
}

/** How tasks of this type are run, in words. @param {TaskType} type */
function facts({ executor, options }) {
  const where = { async: "on the event loop", thread: "in a thread", process: "in a process" };
  return [
    `runs ${where[/** @type {keyof typeof where} */ (executor)] ?? executor}`,
    options.timeout && `at most ${duration(options.timeout).replace(".0 s", " s")}`,
    options.retries && `up to ${options.retries} ${options.retries === 1 ? "retry" : "retries"}`,
    options.concurrency && `${options.concurrency} at once`,
    options.priority && `priority ${options.priority}`,
    options.idempotent && "may be run again after a crash",
    options.durable === false && "not journaled",
  ].filter(Boolean);
}

/** @param {TaskType} type */
export const about = (type) => [
  h("h2", {}, type.name, " ", h("small", {}, facts(type).join(" · "))),
  docOf(type.doc ?? ""),
];

/**
 * A docstring: its lines flow, but for those that are set in; what is in backticks is code.
 *
 * @param {string} doc
 */
function docOf(doc) {
  const parts = doc.split(/\n\s*\n/).filter((part) => part.trim());
  return parts.map((part) =>
    /^\s/.test(part) ? h("pre.doc", {}, part) : h("p.doc", {}, flowing(part)),
  );
}

/** @param {string} part */
const flowing = (part) =>
  part.split(/`+([^`]+)`+/).map((each, at) => (at % 2 ? h("code", {}, each) : each));
