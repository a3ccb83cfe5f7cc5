// A task in few words.

/** @import {TaskRecord} from "./shapes.js" */

import { isRough } from "./exact.js";
import { ago, between, bytes, duration, number } from "./format.js";

const PREVIEW = 200; // characters of a result or an error

/** The part of an id that says when: the start of it, which the query box takes too. */
export const shortId = (/** @type {string} */ id) => id.slice(0, 13);

/** How far a task has come, from 0 to 1; null if nobody can say. @param {TaskRecord} record */
export function share({ progress }) {
  if (!progress || !progress.total || progress.total < 0) return null;
  return Math.min(1, Math.max(0, progress.current / progress.total));
}

/** "42 %", "1,234", "". @param {TaskRecord} record */
export function figure(record) {
  const part = share(record);
  if (part !== null) return `${Math.floor(part * 100)} %`;
  return record.progress ? number(record.progress.current) : "";
}

/** One line on how a task is doing. @param {TaskRecord} record */
export function remark(record) {
  const { state, error, progress, result } = record;
  const problem = error ? `${error.type}: ${error.message}`.slice(0, PREVIEW) : "";
  if (record.cancel_requested && !record.finished_at) return "asked to end";
  if (state === "scheduled" && record.scheduled_for) {
    const when = ago(record.scheduled_for);
    return problem ? `again ${when}, after ${problem}` : when;
  }
  if (state === "failed") return problem;
  if (state !== "succeeded") return progress?.message ?? "";
  if (record.result_type && record.result_type !== "application/json")
    return `${record.result_type}, ${bytes(record.result_size ?? 0)}`;
  if (record.omitted.includes("result")) return `JSON, ${bytes(record.result_size ?? 0)}`;
  if (result === null) return "";
  return `${isRough(result) ? "≈ " : ""}${JSON.stringify(result).slice(0, PREVIEW)}`;
}

/** "3.2 s": what its last attempt took, or has taken so far. @param {TaskRecord} record */
export const took = (record) =>
  record.started_at && (record.finished_at || record.state === "running")
    ? duration(between(record.started_at, record.finished_at))
    : "–";
