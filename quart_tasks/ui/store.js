// The tasks that the page knows, and ordered views of them.

/** @import {Frame, TaskRecord} from "./shapes.js" */

/** Where `id` is in a sorted array, or would be. @param {string[]} ids @param {string} id */
function place(ids, id) {
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
  }

  /** @param {string} id */
  has(id) {
    return this.ids[place(this.ids, id)] === id;
  }

  /**
   * Bring a task in or out; whether it moved.
   *
   * @param {string} id
   * @param {TaskRecord | undefined} record
   */
  update(id, record) {
    const at = place(this.ids, id);
    const was = this.ids[at] === id;
    const is = record !== undefined && this.matches(record);
    if (was === is) return false;
    if (is) this.ids.splice(at, 0, id);
    else this.ids.splice(at, 1);
    return true;
  }
}

// A page that stays open for days forgets the oldest that have ended, as the server does.
const MOST = 120_000;
const LEFT = 100_000;

/** Takes frames and pages of tasks, and tells the views. */
export class Store {
  constructor() {
    /** @type {Map<string, TaskRecord>} */
    this.tasks = new Map();
    /** @type {Set<View>} */
    this._views = new Set();
    /** @type {Set<(frames: Frame[]) => void>} */
    this._listeners = new Set();
    this._more = false; // the snapshot has further frames
  }

  /**
   * A view from now on; close it with `release`.
   *
   * @param {(record: TaskRecord) => boolean} matches
   * @param {(changed: Set<string> | null, moved: boolean) => void} onChange
   */
  view(matches, onChange) {
    const view = new View(matches, onChange);
    for (const record of this.tasks.values()) if (matches(record)) view.ids.push(record.id);
    view.ids.sort();
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
      if (frame.type === "snapshot") {
        // Another start of the server: what it does not know any more is gone.
        if (frame.data.reason === "epoch" && !this._more) this.clear();
        this._more = frame.data.more;
        for (const record of frame.data.tasks) this._put(record, changed);
      } else if (frame.type === "state") this._put(frame.data, changed);
      else if (frame.type === "progress" && id) this._progress(id, frame, changed);
      else if (frame.type === "deleted" && id && this.tasks.delete(id)) changed.add(id);
    }
    if (this.tasks.size > MOST) this._trim(changed);
    this._tell(changed);
    for (const listener of this._listeners) listener(frames);
  }

  /** What a request brought. @param {TaskRecord[]} records */
  add(records) {
    /** @type {Set<string>} */
    const changed = new Set();
    for (const record of records) this._put(record, changed);
    this._tell(changed);
  }

  /** @param {Set<string>} changed */
  _trim(changed) {
    for (const [id, record] of this.tasks) {
      if (this.tasks.size <= LEFT) break;
      if (record.finished_at) {
        this.tasks.delete(id);
        changed.add(id);
      }
    }
  }

  /** Forget all tasks. */
  clear() {
    this.tasks.clear();
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
    for (const view of this._views) {
      let moved = false;
      for (const id of changed) if (view.update(id, this.tasks.get(id))) moved = true;
      view.onChange(changed, moved);
    }
  }
}

/**
 * Whether a record is of before another, of the same start of the server.
 *
 * @param {{cursor: string}} one
 * @param {{cursor: string}} other
 */
function isOlder(one, other) {
  const [epoch, number] = one.cursor.split("-");
  const [otherEpoch, otherNumber] = other.cursor.split("-");
  return epoch === otherEpoch && Number(number) < Number(otherNumber);
}
