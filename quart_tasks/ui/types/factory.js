// The field for a schema.

/** @import {Kit} from "./groups.js" */
/** @import {Field} from "./inputs.js" */
/** @import {Definitions, Schema} from "./schema.js" */

import { BytesField, JsonField, TimeField } from "./formats.js";
import { UnionField } from "./groups.js";
import { ChoiceField, FixedField, NumberField, TextField, TickField } from "./inputs.js";
import { ListField, MapField, TupleField } from "./lists.js";
import { ObjectField } from "./objects.js";
import { choices, resolve, variants } from "./schema.js";

const DEEPEST = 8; // a schema that contains itself is JSON from there on

/**
 * What makes the fields of a form, whose schemas may refer to these definitions.
 *
 * @param {Definitions} definitions
 * @returns {Kit}
 */
export const kitOf = (definitions) => ({ definitions, depth: 0, make: makeField });

/**
 * @param {Schema} raw
 * @param {string} label
 * @param {Kit} kit
 * @returns {Field}
 */
function makeField(raw, label, kit) {
  const schema = resolve(raw, kit.definitions);
  const fixed = choices(schema);
  if (kit.depth > DEEPEST) return new JsonField(label, schema);
  if (fixed)
    return fixed.length === 1 ? new FixedField(label, fixed[0]) : new ChoiceField(label, schema);
  if (variants(schema, kit.definitions).length) return new UnionField(schema, label, kit);
  switch (schema.type) {
    case "integer":
    case "number":
      return new NumberField(label, schema);
    case "boolean":
      return new TickField(label);
    case "null":
      return new FixedField(label, null);
    case "string":
      return makeText(schema, label);
    case "array":
      return schema.prefixItems
        ? new TupleField(schema, label, kit)
        : new ListField(schema, label, kit);
    case "object":
      if (schema.properties) return new ObjectField(schema, label, kit);
      if (typeof schema.additionalProperties === "object") return new MapField(schema, label, kit);
  }
  return new JsonField(label, schema);
}

/** @param {Schema} schema @param {string} label */
function makeText(schema, label) {
  if (schema.contentEncoding === "base64") return new BytesField(label);
  const isTime = schema.format === "date" || schema.format === "date-time";
  return isTime ? new TimeField(label, schema) : new TextField(label, schema);
}
