// A field for one of several kinds of values.

/** @import {Definitions, Schema} from "./schema.js" */
/** @import {Field} from "./fields.js" */
/** @import {Kit} from "./group.js" */

import { fill, h } from "./dom.js";
import { Group, named } from "./group.js";
import { describe, fits, variants } from "./schema.js";

/** A kind of values in a word or two. @param {Schema} schema @param {Definitions} definitions */
const kindOf = (schema, definitions) => schema.title ?? describe(schema, definitions).split(",")[0];

/** One of several kinds of values. */
export class UnionField extends Group {
  /** @param {Schema} schema @param {string} label @param {Kit} kit */
  constructor(schema, label, kit) {
    super(schema, label, kit);
    this._variants = variants(schema, kit.definitions);
    this._kind = h("select", { id: this.id, "aria-label": `${label}: kind`,
                               onchange: () => this._choose() },
      this._variants.map((each, at) => h("option", { value: at }, kindOf(each, kit.definitions))));
    this._body = h("div.variant");
    /** @type {Field} */
    this._part = this._choose();
    this.element.append(h("div.union", {}, this._kind, this._body), this._error);
  }

  get isGroup() {
    return this._variants.some(({ type }) => type === "object" || type === "array");
  }

  get parts() {
    return [this._part];
  }

  get target() {
    return this._kind;
  }

  get value() {
    return this._part.value;
  }

  set value(value) {
    const at = value === undefined ? 0
      : this._variants.findIndex((each) => fits(value, each, this.kit.definitions));
    this._kind.value = String(Math.max(0, at));
    this._choose().value = value;
  }

  /** @param {string} name */
  child(name) {
    return this._part.child(name);
  }

  _choose() {
    const schema = this._variants[Number(this._kind.value)];
    this._part = this.make(schema, this.label);
    named(this._part);
    fill(this._body, schema.type !== "null" && this._part.element);
    return this._part;
  }
}
