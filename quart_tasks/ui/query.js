// The query box's language: `state:failed name:"two words" text`.

/** @import {State, TaskRecord} from "./shapes.js" */

/** @type {State[]} */
export const STATES = ["scheduled", "queued", "running", "succeeded", "failed", "cancelled"];

const WORD = /(?:(state|name):(?=\s|"|\S))?(?:"((?:\\.|[^"\\])*)"?|(\S+))/g;

/**
 * What is asked for, as the server takes it; "" is any. `problem` is a sentence about a query
 * that no task can match.
 *
 * @typedef {{state: string, name: string, q: string, problem: string}} Query
 */

/**
 * Any word that is not a `state:` or a `name:` is text; the words of the text are one piece.
 *
 * @param {string} line
 * @returns {Query}
 */
export function parse(line) {
  const query = { state: "", name: "", q: "", problem: "" };
  const words = [];
  for (const [, key, quoted, bare] of line.matchAll(WORD)) {
    const value = quoted === undefined ? bare : quoted.replace(/\\(.)/g, "$1");
    if (key === "state") query.state = value.toLowerCase();
    else if (key === "name") query.name = value;
    else if (bare !== "state:" && bare !== "name:") words.push(value);
  }
  query.q = words.join(" ");
  if (query.state && !STATES.some((state) => state === query.state))
    query.problem = `There is no state “${query.state}”: it is one of ${STATES.join(", ")}.`;
  return query;
}

/** The line of a query. @param {Query} query */
export function written({ state, name, q }) {
  const parts = [];
  if (state) parts.push(`state:${state}`);
  if (name) parts.push(`name:${/^[^\s"]+$/.test(name) ? name : quoted(name)}`);
  const bare = parse(q);
  if (q) parts.push(bare.q === q && !bare.state && !bare.name ? q : quoted(q));
  return parts.join(" ");
}

/** @param {string} value */
const quoted = (value) => `"${value.replace(/["\\]/g, "\\$&")}"`;

/**
 * Whether a task is asked for: the same as the server's answer to `GET /tasks`.
 *
 * @param {Query} query
 * @returns {(record: TaskRecord) => boolean}
 */
export function matcher({ state, name, q, problem }) {
  if (problem) return () => false;
  return (record) =>
    (!state || record.state === state) &&
    (!name || record.name === name) &&
    (!q || mentions(record, q));
}

/**
 * @param {TaskRecord} record
 * @param {string} text
 */
const mentions = ({ name, id, key, error }, text) =>
  name.includes(text) ||
  id.startsWith(text) ||
  (key !== null && key.includes(text)) ||
  (error !== null && error.message.includes(text));

/** What is asked for, as a bulk request's body or a list's query has it. @param {Query} query */
export function fields({ state, name, q }) {
  return Object.fromEntries(Object.entries({ state, name, q }).filter(([, value]) => value));
}
