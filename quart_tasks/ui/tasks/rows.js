// A list of any length: only the rows in sight are in the page, and each element is used again.

/** @import {View} from "../store.js" */
/** @import {Row} from "./pool.js" */

import { set } from "../dom.js";
import { place } from "../store.js";
import { Hold } from "./hold.js";
import { Pool } from "./pool.js";

const SPARE = 6; // rows beyond each edge, for a quick scroll
const NEAR_END = 30; // rows before the end at which more are asked for

/**
 * Draws a view, the newest first, into `body`, at most once a frame.
 *
 * New rows wait above the first one (`waiting` of them) while a reader has scrolled down, has a
 * row active or is pointing at one. What changes above the rows in sight does not move them.
 *
 * @template {Row} T
 */
export class Rows {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} body as high as all rows
   * @param {number} height of a row, px
   * @param {{make: () => T, drawn: () => void, wanted: () => void}} owner
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
    this._pool = new Pool(this._window, owner.make);
    /** @type {string | null} */
    this._newest = null; // that may be shown, while others wait
    this._drawn = ""; // the newest that is
    this._anchor = ""; // the first row in sight,
    this._anchorAt = 0; // and its place
    this._goal = ""; // the row to begin at
    this._frame = 0;
    this._room = 0;
    const redraw = () => this.redraw();
    scroller.addEventListener("scroll", redraw, { passive: true });
    this._pointer = new Hold(body, () => this._hold(), redraw);
    this._sizes = new ResizeObserver(([entry]) => {
      this._room = entry.contentRect.height;
      redraw();
    });
    this._sizes.observe(scroller);
  }

  close() {
    this._sizes.disconnect();
    cancelAnimationFrame(this._frame);
    this._pointer.close();
  }

  /**
   * Show another view, from its top or a row that it was left at.
   *
   * @param {View} view
   * @param {string} [from] id
   * @param {string} [active] id
   */
  open(view, from = "", active = "") {
    this.view = view;
    this._drawn = "";
    this.toTop();
    this._goal = from;
    this.active = active;
  }

  get isAtTop() {
    return this._anchorAt <= 0;
  }

  /** The first row in sight. */
  get first() {
    return this._anchor || this.id(0) || "";   // the newest, before it is drawn
  }

  /** Go to the top, where new rows appear. */
  toTop() {
    this.active = "";
    this._newest = null;
    this._anchor = this._goal = "";
    this._pointer.release();
    this._scroller.scrollTop = 0;
    this.redraw();
  }

  redraw() {
    this._frame ||= requestAnimationFrame(() => this._draw());
  }

  /** The rows in the page, by their ids. */
  get shown() {
    return this._pool.rows;
  }

  /** The id at a place, the newest at 0. @param {number} at */
  id(at) {
    return this._ids()[this._end() - 1 - at];
  }

  /** @param {string} id */
  at(id) {
    return this._end() - 1 - place(this._ids(), id);
  }

  /** Make the row at a place the active one; beyond the ends, the last. @param {number} at */
  goTo(at) {
    this._hold();
    if (this.count) this.activate(this.id(Math.max(0, Math.min(this.count - 1, at))));
  }

  /** Make a row the active one and bring it into sight; "": none. @param {string} id */
  activate(id) {
    this.active = id;
    if (id) {
      this._hold();
      const [top, room] = [this.at(id) * this._height, this._room - 2 * this._height];
      const now = this._scroller.scrollTop;
      if (top < now) this._scroller.scrollTop = top;
      else if (top > now + room) this._scroller.scrollTop = top - room;
    }
    this.redraw();
  }

  /** Keep newer rows waiting. */
  _hold() {
    if (this._drawn) this._newest ??= this._drawn;
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
    if (top > 0 || this.active || this._pointer.on) this._hold();
    else this._newest = null;
    const floor = place(ids, this.view?.floor ?? "");
    if (this._end() <= floor) this._newest = null; // none is left but those that wait
    const end = this._end();
    this.waiting = ids.length - end;
    if (this.count !== Math.max(0, end - floor)) {
      this.count = Math.max(0, end - floor);
      this._body.style.height = `${this.count * this._height}px`;
    }
    const at = place(ids, this.active);
    if (ids[at] !== this.active) this.active = (this.active && ids[Math.min(at, end - 1)]) || "";
    if (this._goal) {
      this._scroller.scrollTop = top = Math.max(0, this.at(this._goal)) * this._height;
      this._goal = "";
    } else if (top > 0 && this._anchor) {
      const moved = end - 1 - place(ids, this._anchor) - this._anchorAt;
      if (moved) this._scroller.scrollTop = top = Math.max(0, top + moved * this._height);
    }
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
    this._pool.show(ids.slice(end - Math.max(from, to), end - from).reverse(), from);
    this._window.style.transform = `translateY(${from * height}px)`;
    this._drawn = this.count ? ids[end - 1] : "";
    this._anchorAt = Math.min(Math.floor(top / height), this.count - 1);
    this._anchor = this.count ? ids[end - 1 - this._anchorAt] : "";
    const active = this.shown.get(this.active)?.element.id ?? "";
    if (active !== (this._scroller.getAttribute("aria-activedescendant") ?? ""))
      set(this._scroller, "aria-activedescendant", active || null);
  }
}
