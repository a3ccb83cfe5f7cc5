// The rows that are selected, by their ids.

/** @import {Rows} from "./rows.js" */

export class Selection {
  /**
   * @param {Rows<any>} rows
   * @param {() => void} tell is called when it changes
   */
  constructor(rows, tell) {
    /** @type {Set<string>} */
    this.ids = new Set();
    this._rows = rows;
    this._tell = tell;
    this._last = ""; // where a range begins
  }

  get size() {
    return this.ids.size;
  }

  /**
   * Select a row, or no longer.
   *
   * @param {string} id
   * @param {boolean} range with all from the last one that was turned
   */
  turn(id, range) {
    const { ids, _rows: rows } = this;
    const on = !ids.has(id);
    const [one, other] = [rows.at((range && this._last) || id), rows.at(id)];
    for (let at = Math.min(one, other); at <= Math.max(one, other); at += 1) {
      if (on) ids.add(rows.id(at));
      else ids.delete(rows.id(at));
    }
    this._last = id;
    this._changed();
  }

  clear() {
    this.ids.clear();
    this._last = "";
    this._changed();
  }

  _changed() {
    this._rows.redraw();
    this._tell();
  }
}
