// A task in a row of the list.

/** @import {TaskRecord} from "./shapes.js" */

import { h, set, text } from "./dom.js";
import { ago, between, bytes, duration, moment, number } from "./format.js";

export const COLUMNS = ["", "State", "Name", "Progress", "Id", "Worker", "Created", "Took", "Try",
                        ""]; // prettier-ignore
const PREVIEW = 200; // characters of a result or an error

let made = 0;

/** The part of an id that says when: the start of it, which the query box takes too. */
export const shortId = (/** @type {string} */ id) => id.slice(0, 13);

/** How far a task has come, from 0 to 1; null if nobody can say. @param {TaskRecord} record */
export function share({ progress }) {
  if (!progress || !progress.total || progress.total < 0) return null;
  return Math.min(1, Math.max(0, progress.current / progress.total));
}

/** "42 %", "1,234", "". @param {TaskRecord} record */
export function figure(record) {
  const part = share(record);
  if (part !== null) return `${Math.floor(part * 100)} %`;
  return record.progress ? number(record.progress.current) : "";
}

/** One line on how a task is doing. @param {TaskRecord} record */
export function remark(record) {
  const { state, error, progress, result } = record;
  const problem = error ? `${error.type}: ${error.message}`.slice(0, PREVIEW) : "";
  if (record.cancel_requested && !record.finished_at) return "asked to end";
  if (state === "scheduled" && record.scheduled_for) {
    const when = ago(record.scheduled_for);
    return problem ? `again ${when}, after ${problem}` : when;
  }
  if (state === "failed") return problem;
  if (state !== "succeeded") return progress?.message ?? "";
  if (record.result_type && record.result_type !== "application/json")
    return `${record.result_type}, ${bytes(record.result_size ?? 0)}`;
  if (record.omitted.includes("result")) return `JSON, ${bytes(record.result_size ?? 0)}`;
  return result === null ? "" : JSON.stringify(result).slice(0, PREVIEW);
}

/** "3.2 s": what its last attempt took, or has taken so far. @param {TaskRecord} record */
const took = (record) =>
  record.started_at && (record.finished_at || record.state === "running")
    ? duration(between(record.started_at, record.finished_at))
    : "–";

/** One row's element, for one task after the other. */
export class TaskRow {
  /**
   * @param {(id: string) => TaskRecord | undefined} find
   * @param {{active: string, selected: Set<string>}} marks
   */
  constructor(find, marks) {
    this.id = "";
    this._find = find;
    this._marks = marks;
    /** @type {TaskRecord | undefined} */
    this._record = undefined; // as drawn
    this._at = -1;
    this._pick = h("input", { type: "checkbox", tabindex: -1 });
    this._state = h("span.state");
    this._name = h("a", { tabindex: -1 });
    this._key = h("span.key");
    this._fill = h("div");
    this._meter = h("div.meter", { "aria-hidden": "true" }, this._fill);
    this._figure = h("span.figure");
    this._remark = h("span.remark");
    this._act = h("button.act", { tabindex: -1, type: "button" });
    const cell = (/** @type {string} */ name, /** @type {any[]} */ ...children) =>
      h("div", { role: "gridcell", class: name }, ...children);
    this._short = cell("id");
    this._worker = cell("worker");
    this._created = cell("created");
    this._took = cell("took");
    this._attempt = cell("attempt");
    this.element = h("div.row", { role: "row", id: `row-${(made += 1)}` },
      cell("pick", this._pick), cell("status", this._state), cell("name", this._name, this._key),
      cell("doing", this._meter, this._figure, this._remark), this._short, this._worker,
      this._created, this._took, this._attempt, cell("do", this._act)); // prettier-ignore
  }

  /**
   * @param {string} id
   * @param {number} at
   */
  show(id, at) {
    const record = this._find(id);
    if (!record) return;
    if (id !== this.id) this._take(record);
    if (at !== this._at) set(this.element, "aria-rowindex", (this._at = at) + 2);
    const selected = this._marks.selected.has(id);
    if (selected !== this._pick.checked || !this.element.hasAttribute("aria-selected")) {
      this._pick.checked = selected;
      this.element.ariaSelected = String(selected);
    }
    this.element.classList.toggle("active", id === this._marks.active);
    if (record !== this._record) this._draw(record);
  }

  /** The times in words. */
  tick() {
    const record = this._record;
    if (!record) return;
    text(this._created, ago(record.created_at));
    text(this._took, took(record));
    if (record.state === "scheduled") text(this._remark, remark(record));
  }

  /** What does not change with the task's life. @param {TaskRecord} record */
  _take(record) {
    this.id = record.id;
    this._record = undefined;
    const [name, short] = [record.name, shortId(record.id)];
    text(this._name, name);
    this._name.title = name;
    this._name.href = `#/tasks/${encodeURIComponent(record.id)}`;
    text(this._key, record.key ?? "");
    text(this._short, short);
    this._short.title = record.id;
    this._created.title = moment(record.created_at);
    this._pick.ariaLabel = `Select ${name} ${short}`;
  }

  /** @param {TaskRecord} record */
  _draw(record) {
    this._record = record;
    const { state } = record;
    text(this._state, state);
    const shown = `state ${state}`;
    if (this._state.className !== shown) this._state.className = shown;
    const part = record.finished_at ? null : share(record);
    this._meter.hidden = part === null;
    if (part !== null) this._fill.style.transform = `scaleX(${part})`;
    text(this._figure, record.finished_at ? "" : figure(record));
    const line = remark(record);
    text(this._remark, line);
    this._remark.title = line;
    text(this._worker, record.worker ?? "");
    text(this._attempt, record.max_attempts > 1 ? `${record.attempt}/${record.max_attempts}` : "");
    const act = record.finished_at ? "Retry" : "Cancel";
    text(this._act, act);
    this._act.ariaLabel = `${act} ${record.name} ${shortId(record.id)}`;
    this._act.disabled = record.cancel_requested && !record.finished_at;
    this.tick();
  }
}
