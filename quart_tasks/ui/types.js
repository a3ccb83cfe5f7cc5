// What can be submitted: each type of task with its docstring and a form.

/** @import {Context} from "./main.js" */
/** @import {TaskType} from "./shapes.js" */
/** @import {Desk} from "./desk.js" */

import { get, sentence } from "./api.js";
import { about, entry, sideOf } from "./described.js";
import { deskOf } from "./desk.js";
import { fill, h } from "./dom.js";

export const title = "Types";

/**
 * @param {HTMLElement} main
 * @param {Context} context
 */
export function open(main, context) {
  const { store, rest } = context;
  let isOpen = true;
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
      if (isOpen) show(types);
    } catch (error) {
      if (isOpen)
        fill(place, h("p.panel.empty", { role: "alert" }, `${sentence(error)} `,
          h("button", { onclick: load }, "Try again")));
    }
  }

  void load();
  return () => {
    isOpen = false;
    for (const task of desk?.tasks ?? []) task.close();
  };
}
