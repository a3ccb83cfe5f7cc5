// A field of names and values.

/** @import {Schema} from "./schema.js" */
/** @import {Fault, Field} from "./fields.js" */
/** @import {Kit} from "./group.js" */

import { fill, h } from "./dom.js";
import { Group, changed, named, removal } from "./group.js";

export class MapField extends Group {
  /** @param {Schema} schema @param {string} label @param {Kit} kit */
  constructor(schema, label, kit) {
    super(schema, label, kit);
    /** @type {{key: HTMLInputElement, part: Field, row: HTMLElement}[]} */
    this._entries = [];
    this._rows = h("div.items");
    this._more = h("button", { type: "button", "aria-label": `Add to ${label}`, onclick: () => {
      this._add("").key.focus();
      changed(this.element);
    } }, "Add");
    this.element.append(this._rows, this._more, this._error);
  }

  get parts() {
    return this._entries.map(({ part }) => part);
  }

  get target() {
    return this._more;
  }

  get value() {
    return this.parts.some((part) => part.value === undefined) ? undefined
      : Object.fromEntries(this._entries.map(({ key, part }) => [key.value, part.value]));
  }

  set value(value) {
    this._entries = [];
    fill(this._rows);
    for (const [name, each] of Object.entries(value ?? {})) this._add(name).part.value = each;
  }

  /** @param {string} name */
  child(name) {
    return this._entries.find(({ key }) => key.value === name)?.part;
  }

  /** @returns {Fault[]} */
  faults() {
    const names = this._entries.map(({ key }) => key.value);
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    const fault = { field: this, detail: `“${twice}” is there twice.` };
    return [...(twice === undefined ? [] : [fault]), ...super.faults()];
  }

  /** @param {string} name */
  _add(name) {
    const part = this.make(this.schema.additionalProperties, `${this.label} value`);
    named(part);
    const key = h("input.key", {
      "aria-label": `${this.label} name`,
      placeholder: "name",
      autocomplete: "off",
    });
    key.value = name;
    const remove = removal(`from ${this.label}`, () => {
      this._entries = this._entries.filter((each) => each !== entry);
      entry.row.remove();
      this._more.focus();
      changed(this.element);
    });
    const entry = { key, part, row: h("div.item", {}, key, part.element, remove) };
    this._entries.push(entry);
    this._rows.append(entry.row);
    return entry;
  }
}
