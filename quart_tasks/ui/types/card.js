// A task that was submitted here, live beside its form.

/** @import {TaskRecord} from "../shapes.js" */
/** @import {Store} from "../store.js" */

import { post, sentence } from "../api.js";
import { h, say, set, text } from "../dom.js";
import { between, duration, number } from "../format.js";
import { Result } from "../result.js";

export class Submitted {
  /** @param {TaskRecord} record */
  constructor(record) {
    this.record = record;
    this._state = h("span.state");
    this._time = h("span.took");
    this._inner = h("div");
    const named = { role: "progressbar", "aria-label": `Progress of ${record.name}` };
    this._bar = h("div.bar", named, this._inner);
    this._words = h("span");
    this._error = h("p.error", { hidden: true });
    this._result = new Result();
    this._cancel = h("button", { onclick: () => this._onCancel() }, "Cancel");
    this.element = h("article.submitted.panel", { "aria-label": `${record.name}, submitted here` },
      h("div.submitted-head", {}, h("b", {}, record.name), this._state, this._time, this._cancel,
        h("a", { href: `#/tasks/${encodeURIComponent(record.id)}` }, "Open task")),
      this._bar, h("p.doing", {}, this._words), this._error, this._result.element);
    this._timer = 0;
    this._isShown = false; // its end
    this._isLost = false;
  }

  /** Show what happens from now on. @param {Store} store */
  open(store) {
    const { id } = this.record;
    const look = () => {
      this.record = store.tasks.get(id) ?? this.record;
      this._draw();
    };
    const view = store.view(() => false, (changed) => {
      if (changed !== null && !changed.has(id)) return;
      // A server that has started anew knows the task only if it has a journal.
      this._isLost = changed === null;
      look();
    });
    look();
    this._timer = setInterval(() => this._drawTime(), 100);
    this.close = () => {
      store.release(view);
      clearInterval(this._timer);
    };
  }

  close() {}

  /** Take it away. */
  remove() {
    this.close();
    this._result.close();
    this.element.remove();
  }

  _draw() {
    const { state, progress, error, cancel_requested: asked, finished_at: ended } = this.record;
    const isGone = this._isLost && !ended;
    set(this._state, "class", `state ${isGone ? "" : state}`);
    text(this._state, isGone ? "gone" : asked && !ended ? `${state}, to be cancelled` : state);
    this._cancel.hidden = isGone || Boolean(ended);
    this._cancel.disabled = asked;
    const done = state === "succeeded";
    const total = progress?.total ?? 0;
    const part = done ? 1 : total > 0 ? Math.min(1, (progress?.current ?? 0) / total) : 0;
    this._bar.hidden = Boolean(ended) && !part;
    set(this._bar, "class", `bar ${state}${state === "running" && !total ? " unknown" : ""}`);
    this._inner.style.width = `${part * 100}%`;
    set(this._bar, "aria-valuenow", total || done ? Math.round(part * 100) : null);
    const count =
      progress && !ended ? `${number(progress.current)}${total ? ` of ${number(total)}` : ""}` : "";
    text(this._words, [count, progress?.message].filter(Boolean).join(" · "));
    this._error.hidden = !error && !isGone;
    text(this._error, isGone ? "The server was started anew and does not know this task any more."
      : error ? `${error.type}: ${error.message}` : "");
    this._drawTime();
    if (isGone) clearInterval(this._timer);
    if (!ended || this._isShown) return;
    this._isShown = true;
    clearInterval(this._timer);
    say(`${this.record.name} has ${state === "cancelled" ? "been cancelled" : state}.`);
    this._result.show(this.record);
  }

  _drawTime() {
    const { started_at: start, finished_at: end } = this.record;
    text(this._time, start ? duration(between(start, end)) : "");
  }

  async _onCancel() {
    this._cancel.disabled = true;
    try {
      await post(`/${this.record.id}/cancel`);
    } catch (error) {
      this._cancel.disabled = false;
      say(sentence(error));
    }
  }
}
