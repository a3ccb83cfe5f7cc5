// Which lane of the timeline a task is in.

/** @import {State, TaskRecord} from "../shapes.js" */

/**
 * One attempt, from `start` to `end` (ms; Infinity while it runs).
 *
 * @typedef {{id: string, name: string, executor: string, worker: string, state: State,
 *            attempt: number, start: number, end: number}} Bar
 */

// A slot is given to the next before the end of the last is written down.
const TOUCH = 5; // ms

/** Bars one after the other. */
export class Lane {
  /** @param {string} label */
  constructor(label) {
    this.label = label;
    /** @type {Bar[]} */
    this.bars = [];
  }

  /** @param {Bar} bar */
  add(bar) {
    let at = this.bars.length;
    while (at && this.bars[at - 1].start > bar.start) at -= 1; // it touches the last one
    this.bars.splice(at, 0, bar);
  }

  /** Where the bars begin that end at `time` or later. @param {number} time */
  from(time) {
    let [low, high] = [0, this.bars.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.bars[middle].end < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What is there at a time, or the nearest. @param {number} time @returns {Bar | undefined} */
  near(time) {
    const at = this.from(time);
    const [before, after] = [this.bars[at - 1], this.bars[at]];
    return before && (!after || far(before, time) < far(after, time)) ? before : after;
  }

  /** Where a bar is among the others, or -1. @param {Bar} bar */
  place(bar) {
    return this.bars.indexOf(bar); // not by time: where two touch, ends may be out of order
  }
}

/** How far a bar is from a time. @param {Bar} bar @param {number} time */
export const far = (bar, time) => Math.max(bar.start - time, time - bar.end, 0);

/** The lanes of one executor. Processes have lanes of their own; what runs at the same time on
 * the event loop, or in threads, is put side by side. */
export class Group {
  /** @param {string} executor */
  constructor(executor) {
    this.executor = executor;
    /** @type {Map<string, Lane[]>} */
    this._workers = new Map();
    /** @type {Lane[]} */
    this.lanes = [];
  }

  /** Put a bar into the first lane of its worker that is free by then. @param {Bar} bar */
  add(bar) {
    const lanes = this._workers.get(bar.worker) ?? [];
    this._workers.set(bar.worker, lanes);
    const isOne = bar.worker !== this.executor; // and does one after the other
    let lane = isOne ? lanes[0]
      : lanes.find(({ bars }) => (bars.at(-1)?.end ?? 0) <= bar.start + TOUCH);
    if (!lane) {
      lane = new Lane(isOne ? bar.worker : `${bar.worker} ${lanes.length + 1}`);
      lanes.push(lane);
      this.lanes = [...this._workers.keys()]
        .sort((one, other) => one.localeCompare(other, "en", { numeric: true }))
        .flatMap((worker) => this._workers.get(worker) ?? []);
    }
    lane.add(bar);
  }
}

const ORDER = ["async", "thread", "process"];

/** All attempts that the page has seen, the last one of each task from before. */
export class Lanes {
  constructor() {
    /** The newest attempt of each task. @type {Map<string, Bar>} */
    this.bars = new Map();
    /** Earlier ones. @type {Bar[]} */
    this._past = [];
    /** @type {Group[]} */
    this.groups = [];
    /** Something does not fit where it belongs: `arrange` is to be called. */
    this.isStale = false;
  }

  /**
   * @param {string} id
   * @param {TaskRecord | undefined} record none any more
   * @param {number} now ms
   */
  update(id, record, now) {
    const known = this.bars.get(id);
    if (!record) {
      if (this.bars.delete(id)) this.isStale = true;
      return;
    }
    if (known) {
      settle(known, record, now);
      if (record.attempt === known.attempt) return;
      this._past.push(known);
    }
    if (!record.started_at || !record.worker) return;
    const start = Date.parse(record.started_at);
    /** @type {Bar} */
    const bar = {
      id, name: record.name, executor: record.executor, worker: record.worker,
      state: "running", attempt: record.attempt, start, end: Infinity,
    };
    settle(bar, record, now);
    this.bars.set(id, bar);
    const group = this._group(bar.executor);
    // A lane is in order of time: one from the past belongs between others.
    const isLate =
      this.isStale || group.lanes.some(({ bars }) => (bars.at(-1)?.start ?? 0) > start + 1000);
    if (isLate) this.isStale = true;
    else group.add(bar);
  }

  clear() {
    this.bars.clear();
    this._past = [];
    this.groups = [];
  }

  /** Lay all out anew, without what ended before `since`. @param {number} since ms */
  arrange(since) {
    this.isStale = false;
    this.groups = [];
    this._past = this._past.filter(({ end }) => end >= since);
    for (const bar of this.bars.values()) if (bar.end < since) this.bars.delete(bar.id);
    const bars = [...this._past, ...this.bars.values()];
    for (const bar of bars.sort((one, other) => one.start - other.start))
      this._group(bar.executor).add(bar);
  }

  /** @param {string} executor */
  _group(executor) {
    let group = this.groups.find((each) => each.executor === executor);
    if (!group) {
      group = new Group(executor);
      this.groups.push(group);
      this.groups.sort((one, other) => ORDER.indexOf(one.executor) - ORDER.indexOf(other.executor));
    }
    return group;
  }
}

/**
 * Bring a bar up to date with its task, which may be in its next attempt already.
 *
 * @param {Bar} bar
 * @param {TaskRecord} record
 * @param {number} now
 */
function settle(bar, record, now) {
  if (bar.end !== Infinity) return;
  const isLast = record.attempt === bar.attempt;
  if (isLast && record.state === "running") return;
  if (isLast && record.finished_at) {
    bar.state = record.state;
    bar.end = Date.parse(record.finished_at);
  } else {
    bar.state = "failed"; // and is to be tried again
    bar.end = Math.max(bar.start, now);
  }
}
