// Where tasks of one type are submitted: the form, and what came of it.

/** @import {TaskRecord, TaskType} from "../shapes.js" */
/** @import {Store} from "../store.js" */

import { Refused, post, sentence } from "../api.js";
import { h, say } from "../dom.js";
import { Submitted } from "./card.js";
import { Form } from "./form.js";

const SHOWN = 5; // tasks that stay beside their form

/**
 * What was filled in and what was submitted stays while the page is open.
 *
 * @typedef {{schema: string, form: Form, tasks: Submitted[], list: HTMLElement,
 *            unsure: {body: string, key: string} | null}} Desk
 */

/** @type {Map<string, Desk>} */
const desks = new Map();

/** @param {TaskType} type @param {Store} store @returns {Desk} */
export function deskOf(type, store) {
  const schema = JSON.stringify(type);
  const known = desks.get(type.name);
  if (known?.schema === schema) return known;
  /** @type {Desk} */
  const desk = {
    schema, tasks: [], unsure: null,
    list: h("section.submissions", { "aria-label": "Submitted here" },
      h("p.empty.here", {}, "What you submit is shown here, as it runs.")),
    form: new Form(type, (body) => submit(desk, body, store)),
  };
  desks.set(type.name, desk);
  return desk;
}

/**
 * @param {Desk} desk
 * @param {any} body
 * @param {Store} store
 */
async function submit(desk, body, store) {
  const text = JSON.stringify(body);
  // Whether the last one came through is not known if its answer was lost: the same again, by
  // the same key, is the same task.
  if (desk.unsure?.body !== text) desk.unsure = { body: text, key: newKey() };
  desk.form.setBusy(true);
  try {
    const record = await post("", body, { "Idempotency-Key": desk.unsure.key });
    desk.unsure = null;
    store.add([record]);
    show(desk, record, store);
    say(`${record.name} is submitted.`);
  } catch (error) {
    if (error instanceof Refused && error.status < 500) {
      desk.unsure = null;
      desk.form.failAt(error.message, error.errors);
    } else desk.form.fail(`${sentence(error)} Submit again: it will not run twice.`, []);
  } finally {
    desk.form.setBusy(false);
  }
}

/**
 * @param {Desk} desk
 * @param {TaskRecord} record
 * @param {Store} store
 */
function show(desk, record, store) {
  // The option `key` may have given one that is there already.
  const task = desk.tasks.find((each) => each.record.id === record.id) ?? new Submitted(record);
  task.close();
  desk.tasks = [task, ...desk.tasks.filter((each) => each !== task)];
  for (const old of desk.tasks.splice(SHOWN)) old.remove();
  desk.list.prepend(task.element);
  if (desk.list.isConnected) task.open(store);
  task.element.scrollIntoView({ block: "nearest" });
}

/** A key that nobody else has. Only pages over HTTPS, and localhost, have `randomUUID`. */
function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
