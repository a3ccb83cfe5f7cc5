// A list of any length: only the rows in sight are in the page, and each element is used again.

/** @import {View} from "./store.js" */

import { set } from "./dom.js";
import { place } from "./store.js";

const SPARE = 6; // rows beyond each edge, for a quick scroll
const NEAR_END = 30; // rows before the end at which more are asked for
const QUIET = 1500; // ms after the pointer has moved in which no row moves below it

/**
 * One row's element. `show` brings it to a task, or up to date with it; it touches the page only
 * where something has changed.
 *
 * @typedef {{element: HTMLElement, show: (id: string, at: number) => void}} Row
 */

/**
 * Draws a view, the newest first, into `body`, at most once a frame.
 *
 * New rows wait above the first one (`waiting` of them) while a reader has scrolled down, has a
 * row active or is pointing at one. What changes above the rows in sight does not move them.
 */
export class Rows {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} body as high as all rows
   * @param {number} height of a row, px
   * @param {{make: () => Row, drawn: () => void, wanted: () => void}} owner
   *   `make` a row; `drawn` is called after each drawing; `wanted`: the reader comes near the end
   */
  constructor(scroller, body, height, owner) {
    this.active = ""; // the id of the row that the keyboard is at
    this.count = 0;
    this.waiting = 0;
    /** @type {View | null} */
    this.view = null;
    this._scroller = scroller;
    this._body = body;
    this._window = /** @type {HTMLElement} */ (body.firstElementChild);
    this._height = height;
    this._owner = owner;
    /** @type {Map<string, Row>} */
    this._rows = new Map();
    /** @type {Row[]} */
    this._free = [];
    /** @type {string | null} */
    this._newest = null; // that may be shown, while others wait
    this._drawn = ""; // the newest that is
    this._anchor = ""; // the first row in sight,
    this._anchorAt = 0; // and its place
    this._quietUntil = 0;
    this._frame = 0;
    this._timer = 0;
    this._room = 0;
    const redraw = () => this.redraw();
    scroller.addEventListener("scroll", redraw, { passive: true });
    body.addEventListener("pointermove", () => this._keepQuiet(), { passive: true });
    this._sizes = new ResizeObserver(([entry]) => {
      this._room = entry.contentRect.height;
      redraw();
    });
    this._sizes.observe(scroller);
  }

  close() {
    this._sizes.disconnect();
    cancelAnimationFrame(this._frame);
    clearTimeout(this._timer);
  }

  /** Show another view, from its top. @param {View} view */
  open(view) {
    this.view = view;
    this._drawn = "";
    this.toTop();
  }

  /** Go to the top, where new rows appear. */
  toTop() {
    this.active = "";
    this._newest = null;
    this._anchor = "";
    this._quietUntil = 0;
    this._scroller.scrollTop = 0;
    this.redraw();
  }

  redraw() {
    this._frame ||= requestAnimationFrame(() => this._draw());
  }

  /** The rows in the page. */
  get rows() {
    return this._rows;
  }

  /** The id at a place, the newest at 0. @param {number} at */
  id(at) {
    return this._ids()[this._end() - 1 - at];
  }

  /** @param {string} id */
  at(id) {
    return this._end() - 1 - place(this._ids(), id);
  }

  /** Make a row the active one and bring it into sight; "": none. @param {string} id */
  activate(id) {
    this.active = id;
    if (id) {
      const [top, room] = [this.at(id) * this._height, this._room - 2 * this._height];
      const now = this._scroller.scrollTop;
      if (top < now) this._scroller.scrollTop = top;
      else if (top > now + room) this._scroller.scrollTop = top - room;
      this._hold();
    }
    this.redraw();
  }

  _keepQuiet() {
    this._quietUntil = performance.now() + QUIET;
    this._hold();
    this._timer ||= setTimeout(() => this._endQuiet(), QUIET);
  }

  /** Keep newer rows waiting. */
  _hold() {
    if (this._drawn) this._newest ??= this._drawn;
  }

  _endQuiet() {
    const left = this._quietUntil - performance.now();
    this._timer = left > 0 ? setTimeout(() => this._endQuiet(), left) : 0;
    if (!this._timer) this.redraw();
  }

  _ids() {
    return this.view?.ids ?? [];
  }

  /** The place in `ids` behind the newest that is shown. */
  _end() {
    const ids = this._ids();
    if (this._newest === null) return ids.length;
    const at = place(ids, this._newest);
    return at < ids.length && ids[at] === this._newest ? at + 1 : at;
  }

  _draw() {
    this._frame = 0;
    const ids = this._ids();
    let top = this._scroller.scrollTop; // read before anything is written: no layout is due
    if (top > 0 || this.active || performance.now() < this._quietUntil) this._hold();
    else this._newest = null;
    const end = this._end();
    const first = Math.min(place(ids, this.view?.floor ?? ""), end);
    this.waiting = ids.length - Math.max(end, first);
    if (this.count !== end - first) {
      this.count = end - first;
      this._body.style.height = `${this.count * this._height}px`;
    }
    if (top > 0 && this._anchor) {
      const moved = end - 1 - place(ids, this._anchor) - this._anchorAt;
      if (moved) this._scroller.scrollTop = top = Math.max(0, top + moved * this._height);
    }
    this._drawn = this.count ? ids[end - 1] : "";
    this._fill(ids, end, top);
    this._owner.drawn();
    if (top + this._room > (this.count - NEAR_END) * this._height) this._owner.wanted();
  }

  /**
   * @param {string[]} ids
   * @param {number} end
   * @param {number} top
   */
  _fill(ids, end, top) {
    const height = this._height;
    const from = Math.max(0, Math.floor(top / height) - SPARE);
    const to = Math.min(this.count, Math.ceil((top + this._room) / height) + SPARE);
    const shown = [];
    for (let at = from; at < to; at += 1) shown.push(ids[end - 1 - at]);
    this._release(new Set(shown));
    let next = this._window.firstElementChild;
    shown.forEach((id, index) => {
      let row = this._rows.get(id);
      if (!row) {
        row = this._free.pop() ?? this._owner.make();
        this._rows.set(id, row);
      }
      row.show(id, from + index);
      if (row.element === next) next = next.nextElementSibling;
      else this._window.insertBefore(row.element, next);
    });
    this._window.style.transform = `translateY(${from * height}px)`;
    this._anchorAt = Math.min(Math.floor(top / height), this.count - 1);
    this._anchor = this.count ? ids[end - 1 - this._anchorAt] : "";
    const active = this._rows.get(this.active)?.element.id ?? "";
    if (active !== (this._scroller.getAttribute("aria-activedescendant") ?? ""))
      set(this._scroller, "aria-activedescendant", active || null);
  }

  /** Take out of the page what is not shown. @param {Set<string>} shown */
  _release(shown) {
    for (const [id, row] of this._rows) {
      if (shown.has(id)) continue;
      this._rows.delete(id);
      row.element.remove(); // or its transitions would run on for another task
      this._free.push(row);
    }
  }
}
