// The life of a task: what happened to it, when, and how long that took.

/** @import {TaskError, TaskRecord} from "../shapes.js" */

import { fill, h, text } from "../dom.js";
import { ago, between, clock, duration, moment } from "../format.js";

/** @typedef {{started_at: string | null, finished_at: string | null, error: TaskError | null,
 *             worker: string | null}} Attempt */

/** @typedef {{what: string, state: string, time: string | null, more?: string,
 *             where?: string | null, isDue?: boolean}} Step */

/**
 * What a record says of its present attempt. An attempt that waits to be made again has ended
 * when the server said so.
 *
 * @param {Map<number, Attempt>} attempts
 * @param {TaskRecord} record
 * @param {string | null} time of the frame
 */
export function note(attempts, record, time) {
  const { attempt, state, started_at, finished_at, error, worker } = record;
  if (!attempt || attempts.get(attempt)?.finished_at) return;
  const over = state === "running" ? null : (finished_at ?? time);
  attempts.set(attempt, {
    started_at,
    finished_at: over,
    error,
    worker: worker ?? attempts.get(attempt)?.worker ?? null,
  });
}

/**
 * @param {TaskRecord} record
 * @param {Map<number, Attempt>} attempts
 * @returns {Step[]}
 */
export function steps(record, attempts) {
  const { created_at, scheduled_for, finished_at, state, max_attempts, error } = record;
  /** @type {Step[]} */
  const found = [{ what: "Created", state: "queued", time: created_at }];
  if (state === "scheduled" && !record.attempt)
    found.push({ what: "Due", state: "scheduled", time: scheduled_for, isDue: true });
  if (state === "queued" && !record.attempt)
    found.push({ what: "Waiting for a slot", state: "queued", time: null });
  const kept = [...attempts].sort(([one], [other]) => one - other);
  if (kept.length && kept[0][0] > 1)
    found.push({ what: `${kept[0][0] - 1} earlier attempts are not kept`, state: "", time: null });
  for (const [at, each] of kept) {
    const name = max_attempts > 1 || at > 1 ? `Attempt ${at}` : "";
    const started = name ? `${name} started` : "Started";
    found.push({ what: started, state: "running", time: each.started_at, where: each.worker });
    if (each.finished_at && each.finished_at !== finished_at)
      found.push({ what: `${name || "It"} failed`, state: "failed", time: each.finished_at,
                   more: sentenceOf(each.error) }); // prettier-ignore
  }
  if (state === "scheduled" && record.attempt)
    found.push({ what: "Next attempt", state: "scheduled", time: scheduled_for, isDue: true });
  if (state === "queued" && record.attempt)
    found.push({ what: "Waiting for a slot", state: "queued", time: null });
  if (record.cancel_requested && !finished_at)
    found.push({ what: "Asked to end", state: "cancelled", time: null });
  if (finished_at)
    found.push({ what: state[0].toUpperCase() + state.slice(1), state, time: finished_at,
                 more: state === "failed" ? sentenceOf(error) : "" }); // prettier-ignore
  return found;
}

/** @param {TaskError | null} error */
const sentenceOf = (error) => (error ? `${error.type}: ${error.message}` : "");

/** @param {TaskRecord} record */
const runningFor = ({ state, started_at }) =>
  state === "running" && started_at ? `Running for ${duration(between(started_at))}` : "";

/** The steps as a list. */
export class Life {
  constructor() {
    this._shown = "";
    this._running = h("li.running");
    this._list = h("ol.life");
    this.element = h("section.panel", { "aria-label": "Life" }, h("h2", {}, "Life"), this._list);
  }

  /**
   * @param {TaskRecord} record
   * @param {Map<number, Attempt>} attempts
   */
  show(record, attempts) {
    const all = steps(record, attempts);
    const waits = all.some(({ isDue }) => isDue);
    text(this._running, runningFor(record));
    const shown = JSON.stringify([all, waits && Math.floor(Date.now() / 1000)]);
    if (shown === this._shown) return;
    this._shown = shown;
    let before = "";
    const items = all.map(({ what, state, time, more, where, isDue }) => {
      const passed = before && time && !isDue ? between(before, time) : null;
      if (time) before = time;
      return h(`li.${state || "none"}`, {},
        h("span.what", {}, what, where && h("span.quiet", {}, ` on ${where}`)),
        time && h("time", { datetime: time, title: moment(time) }, isDue ? ago(time) : clock(time)),
        passed !== null && h("span.passed", {}, `after ${duration(passed)}`),
        more && h("span.more", {}, more)); // prettier-ignore
    });
    fill(this._list, ...items, record.state === "running" && this._running);
  }
}
