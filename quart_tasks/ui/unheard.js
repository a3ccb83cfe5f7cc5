// Tasks that may have ended before the stream began: it tells of those that had not.

/** @import {Frame, TaskRecord} from "./shapes.js" */
/** @import {Store} from "./store.js" */

import { Refused, get } from "./api.js";

const PAGE = 100;

/** Where a cursor is from: a start of the server, and how far that was. @param {string} cursor */
export function parts(cursor) {
  const [epoch, number] = cursor.split("-");
  return { epoch, number: Number(number) };
}

/** Finds out what has become of tasks that a request told of as unfinished, too early. */
export class Unheard {
  /** @param {Store} store */
  constructor(store) {
    this._store = store;
    /** @type {Set<string>} */
    this._ids = new Set();
    /** @type {Set<string>} */
    this._told = new Set(); // by the snapshot so far
    this._since = ""; // the cursor that the stream began with
    this._isAsking = false;
  }

  /** The snapshot that a stream begins with. @param {Frame} frame */
  hear({ cursor, data }) {
    for (const { id } of data.tasks) this._told.add(id);
    if (data.more) return;
    if (data.reason === "start")
      for (const [id, { finished_at: end }] of this._store.tasks)
        if (!end && !this._told.has(id)) this._ids.add(id);
    this._told.clear();
    this._since = cursor;
  }

  /** A task that was not known; its answer may be late. @param {TaskRecord} record */
  note({ id, finished_at: end, cursor }) {
    const [then, since] = [parts(cursor), parts(this._since)];
    if (!end && then.epoch === since.epoch && then.number < since.number) this._ids.add(id);
  }

  /** Ask the server, until all is known. */
  async ask() {
    if (this._isAsking) return;
    this._isAsking = true;
    try {
      for (let id = this._newest(); id; id = this._newest()) await this._page(id);
    } catch (error) {
      if (error instanceof Refused) this._ids.clear();
      else if (!(error instanceof TypeError)) throw error; // without a server: some time later
    } finally {
      this._isAsking = false;
    }
  }

  _newest() {
    const { tasks } = this._store;
    let newest = "";
    for (const id of this._ids)
      if (tasks.get(id)?.finished_at !== null)
        this._ids.delete(id); // heard of meanwhile
      else if (id > newest) newest = id;
    return newest;
  }

  /** From a task on, with its neighbours, which may be asked for too. @param {string} id */
  async _page(id) {
    const page = await get(`?limit=${PAGE}&before=${id.slice(0, 24)}ffffffffffff`);
    const ids = new Set(page.tasks.map((/** @type {TaskRecord} */ record) => record.id));
    const last = page.next ?? "";
    const asked = [...this._ids].filter((each) => each >= last);
    for (const each of asked) this._ids.delete(each);
    const gone = asked.filter((each) => !ids.has(each));
    this._store.add(page.tasks, gone);
  }
}
