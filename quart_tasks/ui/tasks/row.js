// A task in a row of the list.

/** @import {TaskRecord} from "../shapes.js" */

import { h, set, text } from "../dom.js";
import { ago, moment } from "../format.js";
import { figure, remark, share, shortId, took } from "../summary.js";

export const COLUMNS = ["", "State", "Name", "Progress", "Id", "Worker", "Created", "Took", "Try",
                        ""]; // prettier-ignore

let made = 0;

/** One row's element, for one task after the other. */
export class TaskRow {
  /**
   * @param {(id: string) => TaskRecord | undefined} find
   * @param {{now: number, rows: {active: string}, selection: {ids: Set<string>}}} marks
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
    const selected = this._marks.selection.ids.has(id);
    if (selected !== this._pick.checked || !this.element.hasAttribute("aria-selected")) {
      this._pick.checked = selected;
      this.element.ariaSelected = String(selected);
    }
    this.element.classList.toggle("active", id === this._marks.rows.active);
    if (record !== this._record) this._draw(record);
  }

  /** The times in words. */
  tick() {
    const record = this._record;
    if (!record) return;
    // It was created before now, whatever the two clocks say.
    const { created_at } = record;
    text(this._created, ago(created_at, Math.max(this._marks.now, Date.parse(created_at))));
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
    const { attempt, max_attempts } = record;
    text(this._attempt, attempt > 1 ? `${attempt}/${max_attempts}` : "");
    const act = record.finished_at ? "Retry" : "Cancel";
    text(this._act, act);
    this._act.ariaLabel = `${act} ${record.name} ${shortId(record.id)}`;
    this._act.disabled = record.cancel_requested && !record.finished_at;
    this.tick();
  }
}
