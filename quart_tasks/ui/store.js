// The tasks that the page knows, and ordered views of them.

/** @import {Frame, TaskRecord} from "./shapes.js" */

import { Unheard, parts } from "./unheard.js";

/** Where `id` is in a sorted array, or would be. @param {string[]} ids @param {string} id */
export function place(ids, id) {
  const last = ids.length - 1;
  if (last < 0 || ids[last] < id) return ids.length; // most are the newest
  let low = 0;
  let high = last;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ids[middle] < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

const MANY = 100; // changes from which on one pass is cheaper than a splice each

/** The ids of tasks that match, the oldest first: ids begin with the time (RFC 9562, UUIDv7). */
export class View {
  /**
   * @param {(record: TaskRecord) => boolean} matches
   * @param {(changed: Set<string> | null, moved: boolean) => void} onChange
   *   `changed` ids, or all of them; `moved`: some came or went
   */
  constructor(matches, onChange) {
    this.matches = matches;
    this.onChange = onChange;
    /** @type {string[]} */
    this.ids = [];
    /** None that the server has is missing from here on; "": from the beginning. */
    this.floor = "";
  }

  /** @param {string} id */
  has(id) {
    return this.ids[place(this.ids, id)] === id;
  }

  /**
   * Bring changed tasks in or out; whether any moved.
   *
   * @param {Set<string>} changed
   * @param {Map<string, TaskRecord>} tasks
   */
  update(changed, tasks) {
    const come = [];
    const gone = new Set();
    for (const id of changed) {
      const record = tasks.get(id);
      const is = record !== undefined && this.matches(record);
      if (is === this.has(id)) continue;
      if (is) come.push(id);
      else gone.add(id);
    }
    if (come.length + gone.size < MANY) {
      for (const id of gone) this.ids.splice(place(this.ids, id), 1);
      for (const id of come) this.ids.splice(place(this.ids, id), 0, id);
    } else {
      if (gone.size) this.ids = this.ids.filter((id) => !gone.has(id));
      if (come.length) this.ids = merged(this.ids, come.sort());
    }
    return come.length + gone.size > 0;
  }

  /** The store has forgotten a task, to keep its size. @param {string} id */
  miss(id) {
    const after = `${id.slice(0, -4)}ffff`; // the server has no task between
    if (after > this.floor && this.has(id)) this.floor = after;
  }
}

/** Two sorted arrays as one. @param {string[]} one @param {string[]} other */
function merged(one, other) {
  if (!one.length || one[one.length - 1] < other[0]) return one.concat(other);
  if (other[other.length - 1] < one[0]) return other.concat(one); // a page of older ones
  return one.concat(other).sort();
}

// A page that stays open for days forgets the oldest that have ended, as the server does.
const MOST = 151_000;
export const LEFT = 150_000;

/** Takes frames and pages of tasks, and tells the views. */
export class Store {
  constructor() {
    /** @type {Map<string, TaskRecord>} */
    this.tasks = new Map();
    /** @type {Set<View>} */
    this._views = new Set();
    /** @type {Set<(frames: Frame[]) => void>} */
    this._listeners = new Set();
    this._all = new View(() => true, () => {}); // prettier-ignore
    this.losses = 0; // grows when it forgets tasks that the server may still have
    this._epoch = ""; // the server's start that the last snapshot was of
    this._unheard = new Unheard(this);
  }

  /**
   * A view from now on; close it with `release`.
   *
   * @param {(record: TaskRecord) => boolean} matches
   * @param {(changed: Set<string> | null, moved: boolean) => void} onChange
   */
  view(matches, onChange) {
    const view = new View(matches, onChange);
    view.ids = this._all.ids.filter((id) => matches(/** @type {any} */ (this.tasks.get(id))));
    this._views.add(view);
    return view;
  }

  /** @param {View} view */
  release(view) {
    this._views.delete(view);
  }

  /**
   * Hear every frame; the answer ends that.
   *
   * @param {(frames: Frame[]) => void} listener
   */
  listen(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  /** What the stream brought. @param {Frame[]} frames */
  apply(frames) {
    /** @type {Set<string>} */
    const changed = new Set();
    for (const frame of frames) {
      const id = frame.task_id;
      if (frame.type === "snapshot") this._snapshot(frame, changed);
      else if (frame.type === "state") this._put(frame.data, changed);
      else if (frame.type === "progress" && id) this._progress(id, frame, changed);
      else if (frame.type === "deleted" && id && this.tasks.delete(id)) changed.add(id);
    }
    if (this.tasks.size > MOST) this._trim(changed);
    this._tell(changed);
    for (const listener of this._listeners) listener(frames);
    void this._unheard.ask();
  }

  /**
   * What a request brought.
   *
   * @param {TaskRecord[]} records
   * @param {string[]} [gone] ids of tasks that the server does not have
   */
  add(records, gone = []) {
    /** @type {Set<string>} */
    const changed = new Set();
    for (const id of gone) if (this.tasks.delete(id)) changed.add(id);
    for (const record of records) {
      if (!this.tasks.has(record.id)) this._unheard.note(record);
      this._put(record, changed);
    }
    this._tell(changed);
    void this._unheard.ask();
  }

  /**
   * @param {Frame} frame
   * @param {Set<string>} changed
   */
  _snapshot(frame, changed) {
    const { reason, tasks } = frame.data;
    const { epoch } = parts(frame.cursor);
    const isOld = (/** @type {TaskRecord} */ { cursor }) => parts(cursor).epoch !== epoch;
    // Another start of the server: what it does not know any more is gone.
    if (epoch !== this._epoch && (reason === "epoch" || [...this.tasks.values()].some(isOld)))
      this.clear();
    this._epoch = epoch;
    for (const record of tasks) this._put(record, changed);
    this._unheard.hear(frame);
  }

  /** @param {Set<string>} changed */
  _trim(changed) {
    this.losses += 1;
    for (const [id, record] of this.tasks) {
      if (this.tasks.size <= LEFT) break;
      if (record.finished_at) {
        this.tasks.delete(id);
        changed.add(id);
        for (const view of this._views) view.miss(id);
      }
    }
  }

  /** Forget all tasks. */
  clear() {
    this.losses += 1;
    this.tasks.clear();
    this._all.ids = [];
    for (const view of this._views) {
      view.ids = [];
      view.onChange(null, true);
    }
  }

  /**
   * @param {TaskRecord} record
   * @param {Set<string>} changed
   */
  _put(record, changed) {
    const known = this.tasks.get(record.id);
    if (known && isOlder(record, known)) return; // an answer that a frame has overtaken
    this.tasks.set(record.id, record);
    changed.add(record.id);
  }

  /**
   * @param {string} id
   * @param {Frame} frame
   * @param {Set<string>} changed
   */
  _progress(id, frame, changed) {
    const known = this.tasks.get(id);
    if (!known || known.finished_at) return;
    const { current, total, message } = frame.data;
    this.tasks.set(id, { ...known, progress: { current, total, message }, cursor: frame.cursor });
    changed.add(id);
  }

  /** @param {Set<string>} changed */
  _tell(changed) {
    if (!changed.size) return;
    this._all.update(changed, this.tasks);
    for (const view of this._views) view.onChange(changed, view.update(changed, this.tasks));
  }
}

/**
 * Whether a record is of before another, of the same start of the server.
 *
 * @param {{cursor: string}} one
 * @param {{cursor: string}} other
 */
function isOlder(one, other) {
  const [first, second] = [parts(one.cursor), parts(other.cursor)];
  return first.epoch === second.epoch && first.number < second.number;
}
