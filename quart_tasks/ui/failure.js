// Why a task has failed, or why its last attempt has.

/** @import {TaskRecord} from "./shapes.js" */

import { copyButton } from "./copy.js";
import { fill, h, text } from "./dom.js";

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
      fill(this._body, h("div.tools", {}, copyButton("the traceback", () => traceback)),
        h("pre.traceback", { tabindex: 0, role: "region", "aria-label": "Traceback" }, traceback)); // prettier-ignore
  }
}
