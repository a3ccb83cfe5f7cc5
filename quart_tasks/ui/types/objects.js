// Named values, each with its label.

/** @import {Kit} from "./groups.js" */
/** @import {Schema} from "./schema.js" */

import { h, set } from "../dom.js";
import { Group } from "./groups.js";
import { ListField } from "./lists.js";
import { describe, resolve } from "./schema.js";

export class ObjectField extends Group {
  /** @param {Schema} schema @param {string} label @param {Kit} kit */
  constructor(schema, label, kit) {
    super(schema, label, kit);
    const required = new Set(schema.required ?? []);
    /** @type {Map<string, Property>} */
    this.properties = new Map();
    for (const [name, each] of Object.entries(schema.properties ?? {}))
      this.properties.set(name, new Property(this, name, each, required.has(name)));
    for (const { element } of this.properties.values()) this.element.append(element);
    this.element.append(this._error);
  }

  get parts() {
    return [...this.properties.values()].filter(({ given }) => given).map(({ field }) => field);
  }

  get value() {
    const given = [...this.properties].filter(([, property]) => property.given);
    const values = given.map(([name, { field }]) => [name, field.value]);
    return values.some(([, value]) => value === undefined) ? undefined : Object.fromEntries(values);
  }

  set value(value) {
    for (const [name, property] of this.properties)
      if (value && Object.hasOwn(value, name)) property.give(value[name]);
      else property.reset();
  }

  /** @param {string} name */
  child(name) {
    return this.properties.get(name)?.field;
  }

  clear() {
    super.clear();
    for (const { field } of this.properties.values()) field.clear();
  }
}

/** A value with its name. One that need not be given is left out until somebody changes it. */
class Property {
  /**
   * @param {ObjectField} owner
   * @param {string} name
   * @param {Schema} raw
   * @param {boolean} required
   */
  constructor(owner, name, raw, required) {
    const schema = resolve(raw, owner.kit.definitions);
    this._default = schema.default;
    this._required = required;
    this.given = required;
    this.field = owner.make(raw, owner.label ? `${owner.label} ${name}` : name);
    const hint = h("span.hint", {}, describe(schema, owner.kit.definitions));
    this._left = h("span.left", {}, "default" in schema ? "default" : "left out");
    const words = "default" in schema ? "Use default" : "Leave out";
    this._reset = h("button.reset", { type: "button", onclick: () => this.reset(),
      "aria-label": `${words}: ${this.field.label}` }, words);
    const state = required ? h("span.required", {}, "required") : [this._left, this._reset];
    const help = typeof schema.description === "string" && h("p.help", {}, schema.description);
    const { element, id, isGroup } = this.field;
    const label = isGroup ? name : h("label", { for: id }, name);
    this.element = isGroup
      ? h("fieldset.field", {}, h("legend", {}, label, " ", hint, state), help, element)
      : h("div.field", {}, h("div.field-head", {}, label, hint, state), element, help);
    if (typeof this._default === "number" && !this.field.isGroup)
      set(this.field.target, "placeholder", JSON.stringify(this._default));
    this.element.addEventListener("input", () => this._give());
    this.reset();
  }

  /** @param {any} value */
  give(value) {
    this.field.value = value;
    this._give();
  }

  reset() {
    this.field.value = this._default;
    this.field.clear();
    this.given = this._required;
    if (this.given && this.field instanceof ListField) this.field.begin();
    this._show();
  }

  _give() {
    const given = this._required || !this.field.isBlank;
    if (given === this.given) return;
    this.given = given;
    this._show();
  }

  _show() {
    this._left.hidden = this.given;
    this._reset.hidden = !this.given;
  }
}
