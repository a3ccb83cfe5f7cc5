// Outputs and log lines as they come: the newest of them.

/** @import {LogLine, Output} from "./feed.js" */

import { fill, h, text } from "../dom.js";
import { clock, number } from "../format.js";
import { inLine } from "../json.js";

const MOST = 2000; // lines in the page, and some of a block more
const BLOCK = 100; // lines laid out together, and only in sight: half the cost of one by one
const NEAR = 30; // px from the end at which a reader follows it

/** @param {Output} output */
export const outputLine = ({ index, value }) =>
  h("div.line", {}, h("span.quiet", {}, number(index)), inLine(value));

/** @param {LogLine} line */
export const logLine = ({ level, logger, message, time }) =>
  h("div.line", { title: logger }, h("time.quiet", {}, clock(time)), h("span.level", {}, level),
    h("span.message", {}, message)); // prettier-ignore

/**
 * The newest lines, which a reader at their end follows.
 *
 * @template T
 */
export class Lines {
  /**
   * @param {string} title
   * @param {(item: T) => HTMLElement} line
   */
  constructor(title, line) {
    this._line = line;
    this._count = 0;
    this._seen = h("p.quiet");
    this._body = h("div.lines", {
      role: "log",
      "aria-live": "off",
      "aria-label": title,
      tabindex: 0,
    });
    this.element = h("section.panel", { "aria-label": title, hidden: true },
      h("div.title", {}, h("h2", {}, title), this._seen), this._body); // prettier-ignore
  }

  clear() {
    this._count = 0;
    fill(this._body);
    this.element.hidden = true;
  }

  /** Add what came since the last frame. @param {T[]} items */
  add(items) {
    if (!items.length) return;
    const body = this._body;
    this.element.hidden = false;
    const follows = body.scrollHeight - body.scrollTop - body.clientHeight < NEAR;
    this._count += items.length;
    if (items.length >= MOST) fill(body);
    for (const item of items.slice(-MOST)) this._append(this._line(item));
    while (body.childElementCount > MOST / BLOCK + 1) body.firstElementChild?.remove();
    if (follows) body.scrollTop = body.scrollHeight;
    const all = number(this._count);
    text(this._seen, this._count > MOST ? `the newest ${number(MOST)} of ${all}` : all);
  }

  /** @param {HTMLElement} line */
  _append(line) {
    const last = this._body.lastElementChild;
    if (last && last.childElementCount < BLOCK) last.append(line);
    else this._body.append(h("div.block", {}, line));
  }
}
