// The grid of tasks: its rows, the keyboard and the pointer in it.

/** @import {Store} from "../store.js" */

import { h, text } from "../dom.js";
import { number } from "../format.js";
import { COLUMNS, TaskRow } from "./row.js";
import { Rows } from "./rows.js";
import { Selection } from "./selection.js";

const HEIGHT = 34; // px, as in tasks.css

/**
 * What the grid tells: `act` of one row's button, `picked` when the selection has changed,
 * `drawn` after each drawing, `wanted` when the reader comes near the end, `clear` when Esc finds
 * nothing to clear in the grid.
 *
 * @typedef {{act: (id: string) => void, picked: () => void, drawn: () => void,
 *            wanted: () => void, clear: () => void}} Listener
 */

export class Grid {
  /**
   * @param {Store} store
   * @param {Listener} listener
   */
  constructor(store, listener) {
    this.now = Date.now(); // what all rows take for it, so that their times fit each other
    this._listener = listener;
    const body = h("div.body", { role: "rowgroup" }, h("div"));
    this._grid = h(
      "div.grid",
      { role: "grid", "aria-label": "Tasks", tabindex: 0, "aria-multiselectable": "true" },
      heading(),
      body,
    );
    this._above = h("button.above", { hidden: true, type: "button", onclick: () => this._up() });
    this.element = h("div.list", {}, this._grid, this._above);
    /** @type {Rows<TaskRow>} */
    this.rows = new Rows(this._grid, body, HEIGHT, {
      make: () => new TaskRow((id) => store.tasks.get(id), this),
      drawn: () => this._drawn(),
      wanted: listener.wanted,
    });
    this.selection = new Selection(this.rows, listener.picked);
    this._grid.addEventListener("keydown", (event) => this._key(event));
    body.addEventListener("click", (event) => this._click(event));
    this._clock = setInterval(() => this._tick(), 1000);
  }

  close() {
    clearInterval(this._clock);
    this.rows.close();
  }

  /** Have the keyboard at the row that it was at, or at the first in sight. */
  focus() {
    const { rows } = this;
    this._grid.focus({ preventScroll: true });
    if (rows.count) rows.activate(rows.active || rows.first);
  }

  /** How many rows there are in all, -1 if nobody knows. @param {number} count */
  set total(count) {
    const rows = String(count < 0 ? count : count + 1); // with the heading
    if (this._grid.ariaRowCount !== rows) this._grid.ariaRowCount = rows;
  }

  _up() {
    this.rows.toTop();
    this._grid.focus({ preventScroll: true });
  }

  _tick() {
    this.now = Date.now();
    for (const row of this.rows.shown.values()) row.tick();
  }

  _drawn() {
    const { waiting } = this.rows;
    this._above.hidden = !waiting;
    if (waiting) text(this._above, `↑ ${number(waiting)} new`);
    this._listener.drawn();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const { rows, selection } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { active } = rows;
    const at = active ? rows.at(active) : rows.at(rows.first) - 1;
    const page = Math.max(1, Math.floor(this._grid.clientHeight / HEIGHT) - 2);
    /** @type {{[key: string]: () => void}} */
    const keys = {
      ArrowDown: () => rows.goTo(at + 1),
      ArrowUp: () => rows.goTo(at - 1),
      PageDown: () => rows.goTo(at + page),
      PageUp: () => rows.goTo(at - page),
      Home: () => rows.goTo(0),
      End: () => rows.goTo(rows.count - 1),
      " ": () => active && selection.turn(active, event.shiftKey),
      Enter: () => active && (location.hash = `#/tasks/${encodeURIComponent(active)}`),
      Escape: () => this._escape(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  _escape() {
    if (this.selection.size) this.selection.clear();
    else if (this.rows.active) this.rows.activate("");
    else this._listener.clear();
  }

  /** @param {MouseEvent} event */
  _click({ target, shiftKey }) {
    const clicked = /** @type {Element} */ (target);
    const { rows, selection } = this;
    for (const [id, row] of rows.shown) {
      if (!row.element.contains(clicked)) continue;
      if (clicked.closest("button")) this._listener.act(id);
      else if (clicked.closest("input")) selection.turn(id, shiftKey);
      else if (!clicked.closest("a")) rows.activate(id === rows.active ? "" : id);
    }
  }
}

function heading() {
  const cells = COLUMNS.map((name, at) => h("div", { role: "columnheader" },
    name || h("span.unseen", {}, at ? "Action" : "Selected"))); // prettier-ignore
  return h("div.head", { role: "rowgroup" },
    h("div.row", { role: "row", "aria-rowindex": 1 }, ...cells)); // prettier-ignore
}
