// Fields of many values: lists, tuples, names and values.

/** @import {Kit} from "./groups.js" */
/** @import {Fault, Field} from "./inputs.js" */
/** @import {Schema} from "./schema.js" */

import { fill, h } from "../dom.js";
import { Group, changed, named, removal } from "./groups.js";
import { TextField } from "./inputs.js";
import { resolve } from "./schema.js";

/** A value for each of a fixed number of places. */
export class TupleField extends Group {
  /** @param {Schema} schema @param {string} label @param {Kit} kit */
  constructor(schema, label, kit) {
    super(schema, label, kit);
    /** @type {Schema[]} */
    this._items = schema.prefixItems;
    this._parts = this._items.map((each, at) => this.make(each, `${label} ${at + 1}`));
    this.element.append(...this._parts.map((part) => h("div.item", {}, named(part), part.element)),
                        this._error);
  }

  get parts() {
    return this._parts;
  }

  get value() {
    const values = this._parts.map((part) => part.value);
    return values.includes(undefined) ? undefined : values;
  }

  set value(value) {
    this._parts.forEach((part, at) => (part.value = value?.[at] ?? this._items[at].default));
  }

  /** @param {string} name */
  child(name) {
    return this._parts[Number(name)];
  }
}

/** As many values as one likes. */
export class ListField extends Group {
  /** @param {Schema} schema @param {string} label @param {Kit} kit */
  constructor(schema, label, kit) {
    super(schema, label, kit);
    /** @type {Field[]} */
    this._parts = [];
    this._made = 0;
    this._rows = h("div.items", {
      onpaste: (/** @type {ClipboardEvent} */ event) => this._onPaste(event),
    });
    this._more = h("button", { type: "button", "aria-label": `Add to ${label}`,
      onclick: () => this._onAdd() }, "Add");
    this.element.append(this._rows, this._more, this._error);
    this._grow(schema.minItems ?? 0);
  }

  get parts() {
    return this._parts;
  }

  get target() {
    return this._more;
  }

  get value() {
    const values = this._parts.map((part) => part.value);
    return values.includes(undefined) ? undefined : values;
  }

  set value(value) {
    const values = Array.isArray(value) ? value : [];
    this._parts = [];
    this._made = 0;
    this._grow(Math.max(values.length, this.schema.minItems ?? 0));
    values.forEach((each, at) => (this._parts[at].value = each));
  }

  /** @param {string} name */
  child(name) {
    return this._parts[Number(name)];
  }

  /** Have a first item, unless that may itself be made of many. */
  begin() {
    const { type } = resolve(this.schema.items ?? {}, this.kit.definitions);
    if (!this._parts.length && ["string", "integer", "number"].includes(type)) this._grow(1);
  }

  /** @param {number} length */
  _grow(length) {
    while (this._parts.length < length) {
      this._made += 1;
      this._parts.push(this.make(this.schema.items ?? {}, `${this.label} ${this._made}`));
    }
    this._draw();
  }

  _draw() {
    const least = this.schema.minItems ?? 0;
    fill(this._rows, this._parts.map((part) =>
      h("div.item", {}, named(part, part.label.slice(this.label.length)), part.element,
        this._parts.length > least && removal(part.label, () => this._onRemove(part)))));
    this._more.hidden = this._parts.length >= (this.schema.maxItems ?? Infinity);
  }

  _onAdd() {
    this._grow(this._parts.length + 1);
    this._parts.at(-1)?.target.focus();
    changed(this.element);
  }

  /** Several lines are as many items, where items are text. @param {ClipboardEvent} event */
  _onPaste(event) {
    const pasted = event.clipboardData?.getData("text") ?? "";
    const lines = pasted.split(/\r?\n/).filter((line) => line.trim());
    const at = this._parts.findIndex((part) => part.target === event.target);
    if (lines.length < 2 || !(this._parts[at] instanceof TextField)) return;
    event.preventDefault();
    const values = this._parts.map((part) => part.value);
    this.value = [...values.slice(0, at), ...lines, ...values.slice(at + 1)];
    changed(this.element);
  }

  /** @param {Field} part */
  _onRemove(part) {
    // The others keep their numbers, with what is filled in so far.
    this._parts = this._parts.filter((each) => each !== part);
    if (!this._parts.length) this._made = 0;
    this._draw();
    this._more.focus();
    changed(this.element);
  }
}

/** Names and values. */
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
    const key = h("input.key", { "aria-label": `${this.label} name`, placeholder: "name" });
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
