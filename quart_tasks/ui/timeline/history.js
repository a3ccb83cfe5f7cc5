// Tasks that ended before the page was opened.

/** @import {TaskRecord} from "../shapes.js" */
/** @import {Store} from "../store.js" */

import { request } from "../api.js";

const PAGE = 500;
const MOST = 20; // pages: older tasks are not worth the wait
const PAUSE = 5000; // ms before a request that failed is made again

/** Loads pages of tasks, the newest first, back to a time. */
export class History {
  /** @param {Store} store */
  constructor(store) {
    this._store = store;
    /** How far the server's clock is ahead of this one, ms. */
    this.skew = 0;
    /** All that was submitted since is known, ms. */
    this.since = Infinity;
    /** It is not loaded further. */
    this.isFull = false;
    this._next = "";
    this._pages = 0;
    this._busy = false;
    this._turn = 0; // of what is loaded for an earlier one nothing is taken
  }

  /** Begin again: it is another server. */
  reset() {
    this.close();
    this.since = Infinity;
    this.isFull = false;
    this._next = "";
    this._pages = 0;
    this._busy = false;
  }

  close() {
    this._turn += 1;
  }

  /** Load what is missing back to a time; at once or in a while. @param {number} time ms */
  async reach(time) {
    if (this._busy || this.isFull || this.since <= time) return;
    this._busy = true;
    const turn = this._turn;
    const isOver = () => turn !== this._turn;
    try {
      while (!isOver() && !this.isFull && this.since > time) {
        const { tasks, next } = await this._page();
        if (isOver()) return;
        this._store.add(tasks);
        this._pages += 1;
        this._next = next ?? "";
        // One that was submitted long before may have ended within the time all the same.
        const reaches = tasks.some(({ finished_at: end }) => !end || Date.parse(end) >= time);
        const oldest = tasks.at(-1);
        if (!next) this.since = -Infinity;
        else if (oldest)
          this.since = Math.max(Date.parse(oldest.created_at), reaches ? time + 1 : 0);
        this.isFull = next !== null && this._pages >= MOST;
      }
      this._busy = false;
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
      setTimeout(() => {
        if (!isOver()) this._busy = false;
      }, PAUSE);
    }
  }

  /** @returns {Promise<{tasks: TaskRecord[], next: string | null}>} */
  async _page() {
    const before = this._next && `&before=${this._next}`;
    const asked = Date.now();
    const response = await request(`?limit=${PAGE}${before}`, {
      headers: { Accept: "application/json" },
    });
    if (!response.ok) throw new TypeError(`The server answered ${response.status}.`);
    // A header in whole seconds, of any time since then: it tells a clock that is wrong, not how
    // long the answer took.
    const date = Date.parse(response.headers.get("Date") ?? "") + 500;
    const ahead = date - Math.min(Math.max(date, asked), Date.now());
    this.skew = Math.abs(ahead) > 1500 ? ahead : 0;
    return response.json();
  }
}
