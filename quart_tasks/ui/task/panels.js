// What a task was given, and why it has failed.

/** @import {Detail, TaskRecord} from "../shapes.js" */

import { Refused, request, sentence } from "../api.js";
import { copyButton } from "../copy.js";
import { fill, h, text } from "../dom.js";
import { isRough, parse } from "../exact.js";
import { folded } from "../json.js";

const NONE = { args: null, kwargs: null };

/** The arguments; those that are too large for a record are fetched when asked for. */
export class Arguments {
  /** @param {() => void} tell is called when `whole` has come */
  constructor(tell) {
    /** @type {{args: any[] | null, kwargs: {[name: string]: any} | null} | null} */
    this.whole = null; // in place of the record's, which are left out or lack digits
    this._tell = tell;
    this._body = h("div");
    this.element = h("section.panel", { "aria-label": "Arguments" },
      h("h2", {}, "Arguments"), this._body); // prettier-ignore
  }

  /** @param {TaskRecord} record */
  show({ id, args, kwargs, omitted }) {
    if (isRough([args, kwargs])) {
      this.whole = NONE;
      void this._ask(id);
    } else if (omitted.includes("args") || omitted.includes("kwargs")) {
      const button = h("button", { type: "button", onclick: () => this._ask(id) }, "Show them");
      fill(this._body, h("p.quiet", {}, "They are large. "), h("p.tools", {}, button));
    } else this._fill(args ?? [], kwargs ?? {});
  }

  /** @param {string} id */
  async _ask(id) {
    try {
      const response = await request(`/${encodeURIComponent(id)}`);
      if (!response.ok) throw new Refused(await response.json());
      /** @type {Detail} */
      const { args, kwargs } = parse(await response.text());
      this.whole = { args, kwargs };
      this._fill(args ?? [], kwargs ?? {});
      this._tell();
    } catch (error) {
      fill(this._body, h("p.problem", { role: "alert" }, sentence(error)));
    }
  }

  /**
   * @param {any[]} args
   * @param {{[name: string]: any}} kwargs
   */
  _fill(args, kwargs) {
    const byName = Object.keys(kwargs).length > 0;
    fill(this._body,
      args.length > 0 && folded(args, "the arguments by position"),
      byName && folded(kwargs, "the arguments by name"),
      !args.length && !byName && h("p.quiet", {}, "None.")); // prettier-ignore
  }
}

/** The error of a task that has failed, or of the last attempt of one that will try again. */
export class Failure {
  constructor() {
    this._type = h("h2");
    this._message = h("p.message");
    this._body = h("div");
    this.element = h("section.panel.failure", { "aria-label": "Error", hidden: true },
      this._type, this._message, this._body); // prettier-ignore
    this._shown = "";
  }

  /** @param {TaskRecord} record */
  show({ error, finished_at }) {
    this.element.hidden = error === null;
    if (error === null || JSON.stringify([error, finished_at]) === this._shown) return;
    this._shown = JSON.stringify([error, finished_at]);
    text(this._type, finished_at ? error.type : `${error.type}, in the last attempt`);
    text(this._message, error.message);
    const { traceback } = error;
    if (traceback === null) fill(this._body);
    else
      fill(
        this._body,
        h(
          "div.tools",
          {},
          copyButton("the traceback", () => traceback),
        ),
        h("pre.traceback", { tabindex: 0, role: "region", "aria-label": "Traceback" }, traceback),
      );
  }
}
