// Fields for dates, bytes, and JSON as it is written.

/** @import {Fault} from "./inputs.js" */
/** @import {Schema} from "./schema.js" */

import { h } from "../dom.js";
import { Input, TextField } from "./inputs.js";
import { describe } from "./schema.js";

/** Dates and times, by what the browser has for them. */
export class TimeField extends Input {
  /** @param {string} label @param {Schema} schema */
  constructor(label, schema) {
    const type = schema.format === "date" ? "date" : "datetime-local";
    super(label, h("input", { type, step: type === "date" ? null : "any" }));
    this._dated = type === "date";
  }

  get value() {
    const written = this.control.value;
    if (!written) return undefined;
    return this._dated ? written : new Date(written).toISOString();
  }

  set value(value) {
    if (!value) this.control.value = "";
    else if (this._dated) this.control.value = value;
    else {
      const date = new Date(value);
      const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
      this.control.value = local.toISOString().slice(0, 23);
    }
  }
}

/** Bytes: a file, or base64. */
export class BytesField extends TextField {
  /** @param {string} label */
  constructor(label) {
    super(label, { examples: ["base64"] });
    const file = h("input", { type: "file", "aria-label": `${label}: a file`,
                              onchange: () => this._take(file) });
    this.control.after(file);
  }

  /** @param {HTMLInputElement} input */
  async _take(input) {
    const file = input.files?.[0];
    if (!file) return;
    let binary = "";
    for (const byte of new Uint8Array(await file.arrayBuffer()))
      binary += String.fromCharCode(byte);
    this.value = btoa(binary);
    this.control.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

/** Any JSON, as it is written. */
export class JsonField extends Input {
  /** @param {string} label @param {Schema} schema */
  constructor(label, schema) {
    super(label, h("textarea.json", { rows: 2, spellcheck: "false",
      placeholder: "JSON, such as 1, \"text\" or {\"key\": [true, null]}" }));
    this.control.addEventListener("keydown", (event) => {
      const { key, ctrlKey, metaKey } = /** @type {KeyboardEvent} */ (event);
      if (key === "Enter" && (ctrlKey || metaKey)) this.control.form?.requestSubmit();
    });
    this._schema = schema;
  }

  get value() {
    try {
      return JSON.parse(this.control.value);
    } catch {
      return undefined;
    }
  }

  set value(value) {
    this.control.value = value === undefined ? "" : JSON.stringify(value, null, 1);
  }

  /** @returns {Fault[]} */
  faults() {
    const written = this.control.value.trim();
    if (!written || this.value !== undefined) return super.faults();
    const detail = /^[\p{L}_][^:{}[\]]*$/u.test(written)
      ? `This is no JSON. If it is text, write it in quotes: ${JSON.stringify(written)}`
      : `This is no JSON: ${describe(this._schema, {})} is wanted.`;
    return [{ field: this, detail }];
  }
}
