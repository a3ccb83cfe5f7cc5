// The fields of a form, one kind of value each.

/** @import {Schema} from "./schema.js" */

import { h, set, text } from "../dom.js";
import { choices } from "./schema.js";

/** What keeps a value from being sent. @typedef {{field: Field, detail: string}} Fault */

let made = 0;

/** One value of a form. `label` names it wholly: "points 1 x". */
export class Field {
  /** @param {string} label */
  constructor(label) {
    this.label = label;
    made += 1;
    this.id = `field-${made}`;
    this._error = h("p.error", { id: `${this.id}-error`, hidden: true });
    this.element = h("div.control");
  }

  /** Whether it has a legend of its own, not a label. */
  get isGroup() {
    return false;
  }

  /** Whether there is nothing in it: what need not be given is left out then. */
  get isBlank() {
    return false;
  }

  /** What takes the focus. @returns {HTMLElement} */
  get target() {
    return this.element;
  }

  /** The JSON value; undefined while there is none. @returns {any} */
  get value() {
    return undefined;
  }

  /** @param {any} _value */
  set value(_value) {}

  /**
   * The field of a part, as a JSON pointer names it.
   *
   * @param {string} _name
   * @returns {Field | undefined}
   */
  child(_name) {
    return undefined;
  }

  /** @returns {Fault[]} */
  faults() {
    return this.value === undefined ? [{ field: this, detail: "Fill this in." }] : [];
  }

  /** Say what is wrong with the value; "": nothing. @param {string} detail */
  fail(detail) {
    text(this._error, detail);
    this._error.hidden = !detail;
    set(this.target, "aria-invalid", detail ? "true" : null);
    set(this.target, "aria-describedby", detail ? this._error.id : null);
  }

  /** Forget what was said, here and below. */
  clear() {
    this.fail("");
  }
}

/** A field of one input element. */
export class Input extends Field {
  /**
   * @param {string} label
   * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
   */
  constructor(label, control) {
    super(label);
    this.control = control;
    control.id = this.id;
    this.element.append(control, this._error);
  }

  get target() {
    return this.control;
  }

  get isBlank() {
    return this.control.value === "" && this.control.validity.valid;
  }

  /** @returns {Fault[]} */
  faults() {
    if (!this.control.validity.valid)
      return [{ field: this, detail: this.control.validationMessage }];
    return super.faults();
  }
}

export class NumberField extends Input {
  /** @param {string} label @param {Schema} schema */
  constructor(label, schema) {
    const whole = schema.type === "integer";
    super(label, h("input.number", {
      type: "number", inputmode: whole ? "numeric" : "decimal",
      step: schema.multipleOf ?? (whole ? 1 : "any"),
      min: schema.minimum, max: schema.maximum, autocomplete: "off",
    }));
    this._whole = whole;
  }

  get value() {
    const written = this.control.value;
    if (written === "") return undefined;
    const value = Number(written);
    // A whole number beyond 2 ** 53 is sent as it is written, where the browser knows how.
    const raw = /** @type {any} */ (JSON).rawJSON;
    return this._whole && !Number.isSafeInteger(value) && /^-?\d+$/.test(written) && raw
      ? raw(written.replace(/^(-?)0+(?=\d)/, "$1")) : value;
  }

  set value(value) {
    this.control.value = String(value ?? "");
  }
}

/** Text of any length: Enter submits, Shift and Enter begin a new line. */
export class TextField extends Input {
  /** @param {string} label @param {Schema} schema */
  constructor(label, schema) {
    super(label, h("textarea", {
      rows: 1, maxlength: schema.maxLength, autocapitalize: "off", spellcheck: "false",
      placeholder: schema.examples?.[0],
    }));
    this.control.addEventListener("input", () => (this._touched = true));
    this.control.addEventListener("keydown", (event) => {
      const { key, shiftKey, isComposing } = /** @type {KeyboardEvent} */ (event);
      if (key !== "Enter" || shiftKey || isComposing) return;
      event.preventDefault();
      this.control.form?.requestSubmit();
    });
    this._touched = false; // text may be empty, but not by oversight
  }

  get isBlank() {
    return false;
  }

  get value() {
    return this._touched ? this.control.value : undefined;
  }

  set value(value) {
    this.control.value = value ?? "";
    this._touched = value !== undefined;
  }
}

/** Yes or no. */
export class TickField extends Input {
  /** @param {string} label */
  constructor(label) {
    super(label, h("input", { type: "checkbox" }));
    this._box = /** @type {HTMLInputElement} */ (this.control);
  }

  get value() {
    return this._box.checked;
  }

  set value(value) {
    this._box.checked = Boolean(value);
  }
}

/** One of a few values, of any kind. */
export class ChoiceField extends Input {
  /** @param {string} label @param {Schema} schema */
  constructor(label, schema) {
    const values = choices(schema) ?? [];
    const shown = values.map((each) => (typeof each === "string" ? each : JSON.stringify(each)));
    const options = shown.map((each, at) => h("option", { value: at }, each));
    if (values.length > 1) options.unshift(h("option", { value: "", hidden: true }, "choose …"));
    super(label, h("select", {}, options));
    this._values = values;
  }

  get value() {
    return this.control.value === "" ? undefined : this._values[Number(this.control.value)];
  }

  set value(value) {
    const at = this._values.findIndex((each) => each === value);
    this.control.value = at < 0 && this._values.length > 1 ? "" : String(Math.max(0, at));
  }
}

/** What may only be one thing. */
export class FixedField extends Field {
  /** @param {string} label @param {any} value */
  constructor(label, value) {
    super(label);
    this._value = value;
    this.element.append(h("code.fixed", {}, JSON.stringify(value)), this._error);
  }

  get value() {
    return this._value;
  }

  set value(_value) {}
}
