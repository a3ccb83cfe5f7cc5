// The head of a task's page: its name and state, how far it is, what can be done with it.

/** @import {Store} from "../store.js" */
/** @import {TaskRecord} from "../shapes.js" */

import { cancel, confirmed, forget, retry } from "../actions.js";
import { sentence } from "../api.js";
import { copyButton } from "../copy.js";
import { fill, h, say, set, text } from "../dom.js";
import { moment } from "../format.js";
import { figure, share, shortId } from "../summary.js";

/** @param {string} id @param {string} name */
const link = (id, name) => h("a", { href: `#/tasks/${encodeURIComponent(id)}` }, name);

export class Head {
  /**
   * @param {Store} store
   * @param {string} id
   */
  constructor(store, id) {
    this._store = store;
    this._id = id;
    this._gone = false;
    this._name = h("h1", {}, "Task");
    this._state = h("span.state");
    this._cancel = h("button", { type: "button", hidden: true, onclick: () => this._onCancel() });
    this._retry = h("button", { type: "button", hidden: true, onclick: () => this._onRetry() },
      "Retry"); // prettier-ignore
    this._delete = h(
      "button.danger",
      { type: "button", hidden: true, onclick: () => this._onDelete() },
      "Delete",
    );
    this._outcome = h("p.outcome");
    this._fill = h("div");
    this._bar = h("div.bar", { role: "progressbar", "aria-label": "Progress" }, this._fill);
    this._figure = h("span.figure");
    this._message = h("span.quiet");
    this._progress = h("div.progress", { hidden: true }, this._bar, this._figure, this._message);
    this.element = h("div.top", {},
      h("div.line", {}, this._name, this._state,
        h("div.tools", {}, this._cancel, this._retry, this._delete)),
      this._progress, this._outcome); // prettier-ignore
    this._list = h("dl.facts");
    this.facts = h("section.panel", { "aria-label": "Facts" }, h("h2", {}, "Facts"), this._list);
    this._shown = "";
    this._again = store.view(
      (record) => record.retry_of === id,
      () => this._redraw(),
    );
  }

  close() {
    this._store.release(this._again);
  }

  /** Nothing can be done with it any more. */
  gone() {
    this._gone = true;
    this._cancel.hidden = this._retry.hidden = this._delete.hidden = true;
  }

  /** @param {TaskRecord} record */
  show(record) {
    const { name, state, cancel_requested } = record;
    const over = record.finished_at !== null;
    this._record = record;
    text(this._name, name);
    text(this._state, cancel_requested && !over ? `${state}, asked to end` : state);
    this._state.className = `state ${state}`;
    this._cancel.hidden = over || this._gone;
    this._cancel.disabled = cancel_requested;
    text(this._cancel, cancel_requested ? "Cancelling" : "Cancel");
    this._retry.hidden = this._delete.hidden = !over || this._gone;
    this._showProgress(record);
    document.title = `${name}, ${over ? state : figure(record) || state} · ${location.host}`;
    this._redraw();
  }

  /** @param {TaskRecord} record */
  _showProgress(record) {
    const part = share(record);
    this._progress.hidden = !record.progress || record.state === "succeeded";
    this._progress.className = `progress ${record.state}`;
    this._bar.hidden = part === null;
    if (part !== null) {
      this._fill.style.width = `${part * 100}%`;
      set(this._bar, "aria-valuenow", Math.floor(part * 100));
    }
    text(this._figure, figure(record));
    text(this._message, record.progress?.message ?? "");
  }

  _redraw() {
    const record = this._record;
    if (!record) return;
    const { id, key, owner, priority, attempt, max_attempts, parent_id, retry_of } = record;
    const again = this._again.ids;
    /** @type {[string, any][]} */
    const facts = [
      ["Id", id],
      ["Executor", record.executor],
      ["Worker", record.worker === record.executor ? null : record.worker],
      ["Attempt", max_attempts > 1 && attempt ? `${attempt} of ${max_attempts}` : null],
      ["Priority", priority || null],
      ["Key", key],
      ["Owner", owner],
      ["Created", moment(record.created_at)],
      ["Parent", parent_id],
      ["Retry of", retry_of],
      ["Retried as", again.at(-1)],
    ];
    const shown = JSON.stringify(facts);
    if (shown === this._shown) return;
    this._shown = shown;
    fill(
      this._list,
      ...facts
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([title, value]) => [h("dt", {}, title), h("dd", {}, this._fact(title, value))]),
    );
  }

  /**
   * @param {string} title
   * @param {string} value
   */
  _fact(title, value) {
    if (title === "Id") return [h("span.mono", {}, value), " ", copyButton("the id", () => value)];
    if (!["Parent", "Retry of", "Retried as"].includes(title)) return value;
    const name = this._store.tasks.get(value)?.name ?? "";
    return link(value, `${name} ${shortId(value)}`.trim());
  }

  /** @param {() => Promise<string>} act gives what to say */
  async _run(act) {
    try {
      const told = await act();
      fill(this._outcome, told);
      say(told);
    } catch (error) {
      const told = sentence(error);
      fill(this._outcome, told);
      say(told);
    }
  }

  _onCancel() {
    return this._run(async () => {
      const { finished_at } = await cancel(this._id);
      return finished_at ? "It has ended." : "It was asked to end.";
    });
  }

  _onRetry() {
    return this._run(async () => {
      const again = await retry(this._id);
      location.hash = `#/tasks/${encodeURIComponent(again.id)}`;
      return "It was submitted again: this is the new task.";
    });
  }

  _onDelete() {
    return this._run(async () => {
      const more = "The server forgets it, with its result, outputs and log lines.";
      if (!(await confirmed("Delete this task?", more, "Delete it"))) return "";
      await forget(this._id);
      location.hash = "#/tasks";
      return "The task was deleted.";
    });
  }
}
