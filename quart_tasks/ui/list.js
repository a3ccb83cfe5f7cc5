// The grid of tasks: rows in sight, selection, keyboard.

/** @import {Query} from "./query.js" */
/** @import {Store, View} from "./store.js" */

import { fill, h, set, text } from "./dom.js";
import { number } from "./format.js";
import { History, ROOM } from "./history.js";
import { matcher, written } from "./query.js";
import { Rows } from "./rows.js";
import { COLUMNS, TaskRow } from "./taskrow.js";

const HEIGHT = 34; // px, as in tasks.css

/**
 * What the list tells its page: `act` on one row's button, `picked` when the selection changes,
 * `drawn` when the number of rows may have, `clear` when Esc has nothing of its own to clear.
 *
 * @typedef {{act: (id: string) => void, picked: () => void, drawn: () => void,
 *            clear: () => void}} Listener
 */

/** Tasks that match a query, live. */
export class List {
  /**
   * @param {Store} store
   * @param {Listener} listener
   */
  constructor(store, listener) {
    /** @type {Set<string>} */
    this.selected = new Set();
    /** @type {View | null} */
    this.view = null;
    /** @type {History | null} */
    this.history = null;
    this._store = store;
    this._listener = listener;
    this._last = ""; // picked, where a range begins
    const body = h("div.body", { role: "rowgroup" }, h("div"));
    this.grid = h("div.grid", { role: "grid", "aria-label": "Tasks", tabindex: 0,
                                "aria-multiselectable": "true" }, heading(), body); // prettier-ignore
    this._above = h("button.above", { hidden: true, type: "button", onclick: () => this.toTop() });
    this._none = h("p.empty");
    this.element = h("div.list", {}, this.grid, this._none, this._above);
    /** @type {Rows} */
    this.rows = new Rows(this.grid, body, HEIGHT, {
      make: () => new TaskRow((id) => store.tasks.get(id), this),
      drawn: () => this._drawn(),
      wanted: () => this.history?.next(),
    });
    this.grid.addEventListener("keydown", (event) => this._key(event));
    body.addEventListener("click", (event) => this._click(event));
    this._clock = setInterval(() => this._tick(), 1000);
    this._unlisten = store.listen((frames) => {
      if (frames.some(({ type, data }) => type === "snapshot" && data.reason !== "lagged"))
        this.history?.restart(); // what ended before it is not in it
    });
  }

  close() {
    this._unlisten();
    clearInterval(this._clock);
    this.rows.close();
    this._leave();
  }

  /** The id of the row that the keyboard is at. */
  get active() {
    return this.rows.active;
  }

  /** @param {Query} query */
  open(query) {
    this._leave();
    this.selected.clear();
    this.view = this._store.view(matcher(query), () => this.rows.redraw());
    this.history = new History(this._store, this.view, query, () => this.rows.redraw());
    this._query = query;
    this._none.hidden = true;
    this.rows.open(this.view);
    this.history.restart();
    this._listener.picked();
  }

  _leave() {
    this.history?.close();
    if (this.view) this._store.release(this.view);
  }

  toTop() {
    this.rows.toTop();
    this.grid.focus({ preventScroll: true });
  }

  /** A sentence on how many there are. */
  summary() {
    const { count } = this.rows;
    const shown = `${number(count)} ${count === 1 ? "task" : "tasks"}`;
    if (!this.history || this._query?.problem) return "";
    if (this.history.complete) return shown;
    if (count >= ROOM) return `The newest ${shown}. Narrow the query to see older ones.`;
    if (this.history.loading) return `${shown}, looking for older ones …`;
    return `The newest ${shown}, older ones as you scroll.`;
  }

  _tick() {
    for (const row of this.rows.rows.values()) /** @type {TaskRow} */ (row).tick();
  }

  _drawn() {
    const { count, waiting } = this.rows;
    set(this.grid, "aria-rowcount", this.history?.complete ? count + 1 : -1);
    this._above.hidden = !waiting;
    if (waiting) text(this._above, `↑ ${number(waiting)} new`);
    const none = !count && !waiting && !this.history?.loading;
    if (none && this._none.hidden) fill(this._none, ...this._nothing());
    this._none.hidden = !none;
    this._listener.drawn();
  }

  _nothing() {
    if (this._query?.problem) return [this._query.problem];
    if (this._query && written(this._query)) return ["No task matches."];
    return ["No tasks yet. Submit one from ", h("a", { href: "#/types" }, "Types"),
      ", or with ", h("code", {}, "quart-tasks submit"), "."]; // prettier-ignore
  }

  /** @param {number} to a place, or one beyond the ends */
  move(to) {
    const { rows } = this;
    if (rows.count) rows.activate(rows.id(Math.max(0, Math.min(rows.count - 1, to))));
  }

  /**
   * @param {string} id
   * @param {boolean} [range] from the last one that was picked
   */
  pick(id, range = false) {
    const { selected, rows } = this;
    const on = !selected.has(id);
    let [from, to] = [rows.at(range && this._last ? this._last : id), rows.at(id)];
    if (from > to) [from, to] = [to, from];
    for (let at = from; at <= to; at += 1) {
      if (on) selected.add(rows.id(at));
      else selected.delete(rows.id(at));
    }
    this._last = id;
    rows.redraw();
    this._listener.picked();
  }

  clearSelection() {
    this.selected.clear();
    this.rows.redraw();
    this._listener.picked();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const { rows, active } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = active ? rows.at(active) : -1;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / HEIGHT) - 2);
    /** @type {{[key: string]: () => void}} */
    const keys = {
      ArrowDown: () => this.move(at + 1),
      ArrowUp: () => this.move(at - 1),
      PageDown: () => this.move(at + page),
      PageUp: () => this.move(at - page),
      Home: () => this.move(0),
      End: () => this.move(rows.count - 1),
      " ": () => active && this.pick(active, event.shiftKey),
      Enter: () => active && (location.hash = `#/tasks/${encodeURIComponent(active)}`),
      Escape: () => this._escape(),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  _escape() {
    if (this.selected.size) this.clearSelection();
    else if (this.active) this.rows.activate("");
    else this._listener.clear();
  }

  /** @param {MouseEvent} event */
  _click(event) {
    const target = /** @type {Element} */ (event.target);
    const element = target.closest(".row");
    for (const [id, row] of this.rows.rows) {
      if (row.element !== element) continue;
      if (target.closest("button")) this._listener.act(id);
      else if (target.closest("input")) this.pick(id, event.shiftKey);
      else if (!target.closest("a")) this.rows.activate(id === this.active ? "" : id);
    }
  }
}

function heading() {
  const cells = COLUMNS.map((name, at) =>
    h("div", { role: "columnheader", "aria-label": name || (at ? "Action" : "Selected") }, name)
  );
  return h("div.head", { role: "rowgroup" },
    h("div.row", { role: "row", "aria-rowindex": 1 }, ...cells)); // prettier-ignore
}
