// The tasks that a task has submitted, and theirs.

/** @import {Store} from "../store.js" */
/** @import {TaskRecord} from "../shapes.js" */

import { get, sentence } from "../api.js";
import { fill, h, set, text } from "../dom.js";
import { number } from "../format.js";
import { STATES } from "../query.js";
import { figure, remark, shortId } from "../summary.js";

const AT_ONCE = 50; // that are shown before one asks for more
const PAGE = 500;
const COUNTED = 2000; // children, by their states, at each drawing

/** One level: the newest children first, each with its own below it when asked for. */
export class Children {
  /**
   * @param {Store} store
   * @param {string} id
   * @param {() => void} tell is called after each drawing
   */
  constructor(store, id, tell = () => {}) {
    this._store = store;
    this._id = id;
    this._tell = tell;
    this._most = AT_ONCE;
    this._frame = 0;
    this._loaded = false;
    this._failure = "";
    this._closed = false;
    /** @type {Map<string, Child>} */
    this._items = new Map();
    this._list = h("ul");
    this._more = h("button", { type: "button", hidden: true, onclick: () => this._showMore() });
    this._note = h("p.quiet");
    this.element = h("div.children", {}, this._list, this._more, this._note);
    this._view = store.view(
      (record) => record.parent_id === id,
      (changed) => {
        if (changed === null) void this._load(""); // it is another server
        this._redraw();
      },
    );
    void this._load("");
  }

  close() {
    this._closed = true;
    cancelAnimationFrame(this._frame);
    this._store.release(this._view);
    for (const item of this._items.values()) item.close();
  }

  get count() {
    return this._view.ids.length;
  }

  /** "3 running, 9 succeeded", or how many. */
  summary() {
    if (this.count > COUNTED) return number(this.count);
    /** @type {{[state: string]: number}} */
    const states = {};
    for (const id of this._view.ids) {
      const state = this._store.tasks.get(id)?.state ?? "";
      states[state] = (states[state] ?? 0) + 1;
    }
    const parts = STATES.filter((state) => states[state]).map(
      (each) => `${number(states[each])} ${each}`,
    );
    return parts.join(", ") + (this._view.floor ? ", and older ones" : "");
  }

  /** @param {string} before */
  async _load(before) {
    try {
      const page = await get(
        `?${new URLSearchParams({
          parent_id: this._id,
          limit: String(PAGE),
          ...(before && { before }),
        })}`,
      );
      if (this._closed) return;
      this._failure = "";
      this._view.floor = page.next ?? "";
      this._store.add(page.tasks);
    } catch (error) {
      this._failure = `Its children could not be loaded. ${sentence(error)}`;
    }
    this._loaded = true;
    if (!this._closed) this._redraw();
  }

  _showMore() {
    this._most += AT_ONCE;
    if (this._most > this._view.ids.length && this._view.floor) void this._load(this._view.floor);
    this._redraw();
  }

  _redraw() {
    this._frame ||= requestAnimationFrame(() => this._draw());
  }

  _draw() {
    this._frame = 0;
    const { ids, floor } = this._view;
    const shown = ids.slice(-this._most).reverse();
    const keep = new Set(shown);
    for (const [id, item] of this._items) {
      if (keep.has(id)) continue;
      item.close();
      item.element.remove();
      this._items.delete(id);
    }
    let next = this._list.firstElementChild;
    for (const id of shown) {
      let item = this._items.get(id);
      if (!item) this._items.set(id, (item = new Child(this._store, id)));
      item.show();
      if (item.element === next) next = next.nextElementSibling;
      else this._list.insertBefore(item.element, next);
    }
    const left = ids.length - shown.length;
    this._more.hidden = !left && !floor;
    text(
      this._more,
      left ? `${number(Math.min(AT_ONCE, left))} more of ${number(left)}` : "Older ones",
    );
    text(this._note, this._failure || (this._loaded && !ids.length ? "No children." : ""));
    this._tell();
  }
}

/** One child: a line, and the level below it. */
class Child {
  /**
   * @param {Store} store
   * @param {string} id
   */
  constructor(store, id) {
    this._store = store;
    this._id = id;
    /** @type {TaskRecord | undefined} */
    this._shown = undefined;
    /** @type {Children | null} */
    this._below = null;
    this._state = h("span.state");
    this._name = h("a", { href: `#/tasks/${encodeURIComponent(id)}` });
    this._about = h("span.quiet");
    this._toggle = h("button.toggle", { type: "button", "aria-expanded": "false",
                                        onclick: () => this._turn() }, "▸"); // prettier-ignore
    this.element = h("li", {}, h("div.child", {}, this._toggle, this._state, this._name,
      h("span.mono.quiet", {}, shortId(id)), this._about)); // prettier-ignore
  }

  close() {
    this._below?.close();
  }

  show() {
    const record = this._store.tasks.get(this._id);
    if (!record || record === this._shown) return;
    if (!this._shown) {
      text(this._name, record.name);
      set(this._toggle, "aria-label", `Children of ${record.name} ${shortId(this._id)}`);
    }
    this._shown = record;
    text(this._state, record.state);
    this._state.className = `state ${record.state}`;
    text(this._about, [record.finished_at ? "" : figure(record), remark(record)].join(" "));
  }

  _turn() {
    if (this._below) {
      this._below.close();
      this._below.element.remove();
      this._below = null;
    } else {
      this._below = new Children(this._store, this._id);
      this.element.append(this._below.element);
    }
    set(this._toggle, "aria-expanded", String(this._below !== null));
    this._toggle.textContent = this._below ? "▾" : "▸";
  }
}
