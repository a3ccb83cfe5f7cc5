// Older tasks than the stream has brought, page by page.

/** @import {Query} from "../query.js" */
/** @import {Store, View} from "../store.js" */

import { get, sentence } from "../api.js";
import { fields } from "../query.js";
import { LEFT } from "../store.js";

const PAGE = 500;
const STREAMED = new Set(["scheduled", "queued", "running"]); // the stream brings all of them
// So many rows are the page's end: the store forgets the oldest before much more fit in.
export const ROOM = 0.9 * LEFT;

/** Asks the server for what is below a view's floor, and lowers it. */
export class History {
  /**
   * @param {Store} store
   * @param {View} view
   * @param {Query} query
   * @param {() => void} tell is called when `loading` or `failure` has changed
   */
  constructor(store, view, query, tell) {
    this.loading = false;
    this.failure = ""; // a sentence
    this._store = store;
    this._view = view;
    this._query = query;
    this._tell = tell;
    this._closed = false;
    this._again = false;
  }

  close() {
    this._closed = true;
  }

  get complete() {
    return !this.loading && !this.failure && this._view.floor === "";
  }

  /** Begin with the newest: what is known may have gaps. */
  restart() {
    if (this.loading) this._again = true;
    else void this._load("");
  }

  /** One page more, unless one is on its way or the last could not be had. */
  next() {
    if (this.loading || this.failure || !this._view.floor) return;
    if (this._view.ids.length < ROOM) void this._load(this._view.floor);
  }

  retry() {
    this.failure = "";
    void this._load(this._view.floor);
  }

  /** @param {string} before an id, or "" for the newest */
  async _load(before) {
    if (this._query.problem) return;
    this.loading = true;
    this.failure = "";
    this._tell();
    const asked = { ...fields(this._query), limit: String(PAGE), ...(before && { before }) };
    try {
      const page = await get(`?${new URLSearchParams(asked)}`);
      if (this._closed) return;
      // Not if the store had to forget some of what is above meanwhile.
      if (!before || before === this._view.floor)
        this._view.floor = STREAMED.has(this._query.state) ? "" : (page.next ?? "");
      this._store.add(page.tasks);
    } catch (error) {
      this.failure = sentence(error);
    }
    this.loading = false;
    if (this._again) {
      this._again = false;
      this.restart();
    } else if (!this._closed) this._tell();
  }
}
