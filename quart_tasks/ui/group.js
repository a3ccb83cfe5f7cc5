// What fields have in common that are made of others.

/** @import {Definitions, Schema} from "./schema.js" */
/** @import {Fault} from "./fields.js" */

import { h, set } from "./dom.js";
import { Field } from "./fields.js";

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
