// The arguments of a task.

/** @import {Detail, TaskRecord} from "./shapes.js" */

import { get, sentence } from "./api.js";
import { fill, h } from "./dom.js";
import { folded } from "./json.js";

export class Given {
  /** @param {() => void} tell is called when `whole` has come */
  constructor(tell) {
    /** @type {{args: any[] | null, kwargs: {[name: string]: any} | null} | null} */
    this.whole = null; // what was too large for the record, once it has been asked for
    this._tell = tell;
    this._body = h("div");
    this.element = h("section.panel", { "aria-label": "Arguments" },
      h("h2", {}, "Arguments"), this._body); // prettier-ignore
  }

  /** @param {TaskRecord} record */
  show({ id, args, kwargs, omitted }) {
    if (omitted.includes("args") || omitted.includes("kwargs")) {
      const button = h("button", { type: "button", onclick: () => this._ask(id) }, "Show them");
      fill(this._body, h("p.soft", {}, "They are large. "), h("p.tools", {}, button));
    } else this._fill(args ?? [], kwargs ?? {});
  }

  /** @param {string} id */
  async _ask(id) {
    try {
      /** @type {Detail} */
      const { args, kwargs } = await get(`/${encodeURIComponent(id)}`);
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
      !args.length && !byName && h("p.soft", {}, "None.")); // prettier-ignore
  }
}
