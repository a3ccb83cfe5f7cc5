// A form for a type of task: its arguments, its options, and what was wrong with them.

/** @import {TaskType} from "../shapes.js" */
/** @import {Fault, Field} from "./inputs.js" */
/** @import {Schema} from "./schema.js" */

import { fill, h, text } from "../dom.js";
import { kitOf } from "./factory.js";
import { MapField } from "./lists.js";
import { ObjectField } from "./objects.js";

/** @param {TaskType} type @returns {Schema} */
const optionsOf = ({ options }) => ({
  type: "object",
  properties: {
    delay: { type: "number", minimum: 0, description: "Seconds until it is to start." },
    priority: { type: "integer",
                description: `Higher ones go first; ${options.priority ?? 0} if left out.` },
    key: { type: "string", minLength: 1, maxLength: 255,
           description: "While a task with this key is unfinished, the next one is the same." },
    timeout: { type: "number", exclusiveMinimum: 0, maximum: options.timeout ?? undefined,
               description: "Seconds that one attempt may take." },
    ...(options.retries && {
      retries: { type: "integer", minimum: 0, maximum: options.retries,
                 description: "How often it is tried again after a failure." },
    }),
    expires: { type: "number", exclusiveMinimum: 0,
               description: "Seconds within which it must have started." },
  },
});

/** Fields for what is to be posted, and beside them what was wrong. */
export class Form {
  /**
   * @param {TaskType} type
   * @param {(body: any) => void} onSubmit
   */
  constructor(type, onSubmit) {
    this.type = type;
    const { $defs = {}, ...schema } = type.parameters;
    this._kwargs = new ObjectField(schema, "", kitOf($defs));
    this._options = new ObjectField(optionsOf(type), "", kitOf({}));
    // A function with **more takes any names.
    const open = schema.additionalProperties !== false;
    this._more = open
      ? new MapField({ additionalProperties: {} }, "more arguments", kitOf({}))
      : null;
    this._summary = h("div.summary", { role: "alert", tabindex: "-1", hidden: true });
    this._button = h("button.primary", {}, "Submit");
    this._folded = h("details.options", {},
      h("summary", {}, "Options"), this._options.element);
    const none = !this._kwargs.properties.size && !open;
    this.element = h("form.task-form", { novalidate: true, autocomplete: "off",
        "aria-label": `Submit ${type.name}`, onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          this._submit(onSubmit);
        } },
      none ? h("p.quiet", {}, "It takes no arguments.") : this._kwargs.element,
      this._more && h("fieldset.field", {}, h("legend", {}, "more arguments"), this._more.element),
      this._folded, this._summary, h("p.submit", {}, this._button));
  }

  /** Keep people from sending it twice. @param {boolean} busy */
  setBusy(busy) {
    this._button.disabled = busy;
    text(this._button, busy ? "Submitting …" : "Submit");
  }

  /** @param {(body: any) => void} onSubmit */
  _submit(onSubmit) {
    if (this._button.disabled) return;
    this.clear();
    const parts = [this._kwargs, this._options, ...(this._more ? [this._more] : [])];
    const faults = parts.flatMap((part) => part.faults());
    if (faults.length) {
      this.fail("This cannot be sent yet:", faults);
      return;
    }
    const options = this._options.value;
    onSubmit({
      name: this.type.name,
      kwargs: { ...this._more?.value, ...this._kwargs.value },
      ...(Object.keys(options).length && { options }),
    });
  }

  clear() {
    for (const part of [this._kwargs, this._options, this._more]) part?.clear();
    this._summary.hidden = true;
  }

  /**
   * Say what was wrong, in all and at the fields.
   *
   * @param {string} sentence
   * @param {Fault[]} faults
   */
  fail(sentence, faults) {
    for (const { field, detail } of faults) field.fail(detail);
    if (faults.some(({ field }) => this._folded.contains(field.element))) this._folded.open = true;
    const links = faults.map(({ field, detail }) => h("li", {},
      field.label && h("button.link", { type: "button", onclick: () => show(field) }, field.label),
      field.label && ": ", detail));
    fill(this._summary, h("p", {}, sentence), links.length > 0 && h("ul", {}, links));
    this._summary.hidden = false;
    if (faults.length) show(faults[0].field);
    else this._summary.focus();
  }

  /**
   * What the server found, at the fields that its pointers name.
   *
   * @param {string} sentence
   * @param {{pointer: string, detail: string}[]} errors
   */
  failAt(sentence, errors) {
    const faults = errors.map(({ pointer, detail }) => {
      const field = this._find(pointer);
      return { field, detail: field.label ? detail : `${pointer}: ${detail}` };
    });
    this.fail(faults.length ? "The server does not take this:" : sentence, faults);
  }

  /** @param {string} pointer a JSON pointer as a URI's fragment @returns {Field} */
  _find(pointer) {
    const [, first, ...path] = pointer.split("/").map((each) =>
      decodeURIComponent(each).replace(/~1/g, "/").replace(/~0/g, "~"));
    /** @type {Field} */
    let field = first === "options" ? this._options : this._kwargs;
    if (this._more && first === "kwargs" && !field.child(path[0])) field = this._more;
    for (const name of path) {
      const next = field.child(name);
      if (!next) break; // the fault is said at what is round it
      field = next;
    }
    return field;
  }
}

/** @param {Field} field */
function show(field) {
  field.target.focus({ preventScroll: true });
  field.element.scrollIntoView({ block: "nearest" });
}
