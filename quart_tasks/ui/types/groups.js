// Fields that are made of others, and that for one of several kinds of values.

/** @import {Fault} from "./inputs.js" */
/** @import {Definitions, Schema} from "./schema.js" */

import { fill, h, set } from "../dom.js";
import { Field } from "./inputs.js";
import { describe, fits, variants } from "./schema.js";

/**
 * How a group makes its parts: by `make`, so many levels deep.
 *
 * @typedef {{definitions: Definitions, depth: number,
 *            make: (schema: Schema, label: string, kit: Kit) => Field}} Kit
 */

export class Group extends Field {
  /**
   * @param {Schema} schema
   * @param {string} label
   * @param {Kit} kit
   */
  constructor(schema, label, kit) {
    super(label);
    this.schema = schema;
    this.kit = kit;
    this.element.className = "control group";
    this.element.tabIndex = -1;
  }

  get isGroup() {
    return true;
  }

  /** @returns {Field[]} */
  get parts() {
    return [];
  }

  /** @returns {Fault[]} */
  faults() {
    return this.parts.flatMap((part) => part.faults());
  }

  clear() {
    super.clear();
    for (const part of this.parts) part.clear();
  }

  /** @param {Schema} schema @param {string} label */
  make(schema, label) {
    return this.kit.make(schema, label, { ...this.kit, depth: this.kit.depth + 1 });
  }
}

/** Tell the form that something has changed that is no input. @param {HTMLElement} element */
export const changed = (element) => element.dispatchEvent(new Event("input", { bubbles: true }));

/**
 * Name a field that has no label; what is shown in its stead.
 *
 * @param {Field} part
 * @param {string | number} shown
 */
export function named(part, shown = part.label) {
  if (part.isGroup) set(part.element, "role", "group");
  set(part.isGroup ? part.element : part.target, "aria-label", part.label);
  return h("span.index", { "aria-hidden": "true" }, shown);
}

/** A button that removes something. @param {string} what @param {() => void} onclick */
export const removal = (what, onclick) =>
  h("button.remove", { type: "button", "aria-label": `Remove ${what}`, onclick }, "✕");

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
