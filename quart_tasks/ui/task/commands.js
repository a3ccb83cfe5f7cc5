// Lines to paste into a shell.

/** @import {TaskRecord} from "../shapes.js" */

import { ROOT } from "../api.js";
import { copyButton } from "../copy.js";
import { fill, h } from "../dom.js";
import { isRough, write } from "../exact.js";

/** @type {{[title: string]: string}} */
const AIMS = { Show: "show it", Watch: "watch it", Result: "get its result",
               Retry: "submit it again, as it was", Submit: "submit another" }; // prettier-ignore
const LONGEST = 4000; // characters of a line that somebody may still want to paste

// What a terminal may take for a command when it is pasted, or shows in another order.
const UNSAFE = /[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g;

const WORD = /^[\p{L}\p{N}_/][\p{L}\p{N}\p{P}\p{S} ]*$/u;
const KEY = /^[\p{L}_][\p{L}\p{N}_]*$/u;

/** As a POSIX shell takes it for one word. @param {string} word */
export const quoted = (word) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** JSON without characters that are more than text. @param {any} value */
const plain = (value) =>
  write(value).replace(
    UNSAFE, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`); // prettier-ignore

/**
 * A value as `key=value` has it: JSON, or text that is not JSON.
 *
 * @param {any} value
 */
function given(value) {
  if (typeof value !== "string" || !/^[\w@%+=:,./ -]+$/.test(value)) return plain(value);
  try {
    JSON.parse(value);
    return plain(value);
  } catch {
    return value;
  }
}

/**
 * `[title, for curl, for quart-tasks]`; a line that cannot be is "".
 *
 * @param {TaskRecord} record with all its arguments, or none
 * @param {boolean} byName whether it can be submitted by its name
 * @param {boolean} hasToken
 * @param {string} origin
 * @returns {[string, string, string][]}
 */
export function lines(record, byName, hasToken, origin = location.origin) {
  const { id, name, args, kwargs } = record;
  const url = `${origin}${ROOT}`;
  const token = hasToken ? ' -H "Authorization: Bearer $TASKS_TOKEN"' : "";
  const curl = (/** @type {string} */ more, /** @type {string} */ path) =>
    `curl${more}${token} ${quoted(url + path)}`;
  const where =
    (origin === "http://127.0.0.1:8000" ? "" : ` --url ${quoted(origin)}`) +
    (ROOT === "/tasks" ? "" : ` --prefix ${quoted(ROOT)}`);
  const command = (/** @type {string} */ words) => `quart-tasks ${words}${where}`;
  /** @type {[string, string, string][]} */
  const found = [["Show", curl("", `/${id}`), command(`show ${id}`)]];
  if (!record.finished_at)
    found.push(["Watch", curl(" -N", `/${id}/events`), command(`watch ${id}`)]);
  if (record.state === "succeeded")
    found.push(["Result", curl("", `/${id}/result`), command(`result ${id}`)]);
  if (record.finished_at)
    found.push(["Retry", curl(" -X POST", `/${id}/retry`), command(`retry ${id} --watch`)]);
  if (!byName || !args || !kwargs || isRough([args, kwargs])) return found;
  const body = quoted(plain({ name, args, kwargs }));
  const words = Object.entries(kwargs).map(([key, value]) => quoted(`${key}=${given(value)}`));
  const submit = command(["submit", quoted(name), ...words, "--watch"].join(" "));
  const can = !args.length && WORD.test(name) && Object.keys(kwargs).every((key) => KEY.test(key));
  const both = [`curl --json ${body}${token} ${quoted(url)}`, can ? submit : ""];
  const [first, second] = both.map((line) => (line.length > LONGEST ? "" : line));
  return first || second ? [...found, ["Submit", first, second]] : found;
}

/** The lines, each with a button that copies it. */
export class Commands {
  constructor() {
    this._list = h("dl.commands");
    this.element = h("section.panel", { "aria-label": "In a shell" },
      h("h2", {}, "In a shell"), this._list); // prettier-ignore
    this._shown = "";
  }

  /** @param {[string, string, string][]} found */
  show(found) {
    if (JSON.stringify(found) === this._shown) return;
    this._shown = JSON.stringify(found);
    fill(this._list, ...found.map(([title, ...both]) => [h("dt", {}, title),
      ...both.filter(Boolean).map((line) => h("dd", {},
        h("code", { tabindex: 0 }, line),
        copyButton(`the line to ${AIMS[title]}`, () => line)))])); // prettier-ignore
  }
}
