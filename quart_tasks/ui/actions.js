// Cancel, retry and delete, and the question before it.

/** @import {TaskRecord} from "./shapes.js" */

import { ask, post } from "./api.js";
import { h } from "./dom.js";
import { number } from "./format.js";

const AT_ONCE = 10_000; // ids in one request, whose body may have 1 MiB

/** "1 task", "1,200 tasks". @param {number} count */
export const tasksIn = (count) => `${number(count)} ${count === 1 ? "task" : "tasks"}`;

/**
 * Ask in a dialog; whether the answer is yes.
 *
 * @param {string} question
 * @param {string} more what follows from it
 * @param {string} yes the button's name
 * @returns {Promise<boolean>}
 */
export function confirmed(question, more, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question", "aria-describedby": "more" },
      h("form", { method: "dialog" },
        h("h2", { id: "question" }, question),
        h("p", { id: "more" }, more),
        h("p.actions", {}, h("button", { value: "" }, "No"),
          h("button.primary", { value: "yes", autofocus: true }, yes)))); // prettier-ignore
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask a task to end. @param {string} id @returns {Promise<TaskRecord>} */
export const cancel = (id) => post(`/${id}/cancel`);

/** Submit a task again; the new one. @param {string} id @returns {Promise<TaskRecord>} */
export const retry = (id) => post(`/${id}/retry`);

/** Have the server forget an ended task. @param {string} id @returns {Promise<null>} */
export const forget = (id) => ask("DELETE", `/${id}`);

/**
 * Cancel or retry many tasks; for how many that was done.
 *
 * @param {"cancel" | "retry"} action
 * @param {{[field: string]: string} | string[]} which a query's fields, or ids
 * @returns {Promise<number>}
 */
export async function many(action, which) {
  if (!Array.isArray(which)) return (await post(`/${action}`, which)).count;
  let count = 0;
  for (let at = 0; at < which.length; at += AT_ONCE)
    count += (await post(`/${action}`, { ids: which.slice(at, at + AT_ONCE) })).count;
  return count;
}
