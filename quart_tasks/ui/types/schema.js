// JSON Schema as the server writes it: what a value is to be, in words and in kinds.

/** @typedef {{[name: string]: any}} Schema */

/**
 * The schemas that `$ref` names.
 *
 * @typedef {{[name: string]: Schema}} Definitions
 */

/**
 * What a schema refers to; what stands beside the reference (a default, say) goes before.
 *
 * @param {Schema} schema
 * @param {Definitions} definitions
 * @returns {Schema}
 */
export function resolve(schema, definitions) {
  let found = schema;
  // A reference to itself would go on for ever.
  for (let hops = 0; typeof found.$ref === "string" && hops < 10; hops += 1) {
    const { $ref, ...beside } = found;
    const name = decodeURIComponent($ref.replace(/^#\/\$defs\//, ""));
    found = { ...(definitions[name.replace(/~1/g, "/").replace(/~0/g, "~")] ?? {}), ...beside };
  }
  return found;
}

/**
 * The alternatives of a schema, those of its alternatives among them; null is the first.
 *
 * @param {Schema} schema
 * @param {Definitions} definitions
 * @returns {Schema[]}
 */
export function variants(schema, definitions) {
  const found = (schema.anyOf ?? schema.oneOf ?? []).flatMap((/** @type {Schema} */ each) => {
    const one = resolve(each, definitions);
    return one.anyOf || one.oneOf ? variants(one, definitions) : [one];
  });
  return found.sort(
    (/** @type {Schema} */ one, /** @type {Schema} */ other) =>
      Number(other.type === "null") - Number(one.type === "null"),
  );
}

/**
 * The values that a schema allows, if it names them one by one.
 *
 * @param {Schema} schema
 * @returns {any[] | undefined}
 */
export const choices = (schema) => ("const" in schema ? [schema.const] : schema.enum);

/**
 * "integer, 1 to 10": what is to be given, in a few words.
 *
 * @param {Schema} raw
 * @param {Definitions} definitions
 * @returns {string}
 */
export function describe(raw, definitions, depth = 0) {
  const schema = resolve(raw, definitions);
  if (choices(schema)) return choices(schema)?.length === 1 ? "fixed" : "one of these";
  const several = variants(schema, definitions);
  if (several.length && depth < 3)
    return several.map((each) => each.title ?? describe(each, definitions, depth + 1)).join(" or ");
  if (schema.type === "array") {
    if (schema.prefixItems) return `${schema.prefixItems.length} values`;
    const of = schema.items ?? {};
    const what =
      depth < 2 ? (resolve(of, definitions).title ?? describe(of, definitions, depth + 1)) : "";
    return `list${what && ` of ${what}`}${range(schema.minItems, schema.maxItems, " items")}`;
  }
  if (schema.type === "object") return schema.title ?? "object";
  if (schema.type === "string") return textIn(schema);
  if (schema.type === "boolean") return "yes or no";
  if (schema.type === "null") return "null";
  if (schema.type !== "integer" && schema.type !== "number") return "JSON";
  const exclusive =
    schema.exclusiveMinimum !== undefined ? `, more than ${schema.exclusiveMinimum}` : "";
  const below =
    schema.exclusiveMaximum !== undefined ? `, less than ${schema.exclusiveMaximum}` : "";
  return `${schema.type}${range(schema.minimum, schema.maximum)}${exclusive}${below}`;
}

/** @type {{[format: string]: string}} */
const FORMATS = {
  "date-time": "date and time", date: "date", time: "time", uuid: "UUID", decimal: "decimal number",
  duration: "duration, such as PT1M30S", email: "e-mail address", uri: "URL",
};

/** @param {Schema} schema */
function textIn(schema) {
  if (schema.contentEncoding === "base64") return "bytes";
  const what = FORMATS[schema.format] ?? "text";
  const like = schema.pattern ? ` that matches ${schema.pattern}` : "";
  return `${what}${range(schema.minLength, schema.maxLength, " characters")}${like}`;
}

/** @param {number | undefined} least @param {number | undefined} most @param {string} unit */
function range(least, most, unit = "") {
  if (least !== undefined && most !== undefined) return `, ${least} to ${most}${unit}`;
  if (least) return `, at least ${least}${unit}`;
  if (least === 0 && !unit) return ", at least 0";
  return most === undefined ? "" : `, at most ${most}${unit}`;
}

/**
 * Whether a value may be meant by a schema: enough to choose among alternatives.
 *
 * @param {any} value
 * @param {Schema} raw
 * @param {Definitions} definitions
 * @returns {boolean}
 */
export function fits(value, raw, definitions) {
  const schema = resolve(raw, definitions);
  const chosen = choices(schema);
  if (chosen) return chosen.some((each) => each === value);
  if (schema.type === "object") {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
    const { properties = {}, required = [] } = schema;
    // Its tag, if it has one, is a property of one value.
    const known = Object.keys(properties).filter((name) => name in value);
    const tags = known.filter((name) => choices(properties[name]));
    const isWhole = required.every((/** @type {string} */ name) => name in value);
    return isWhole && tags.every((name) => fits(value[name], properties[name], definitions));
  }
  if (schema.type === "array") return Array.isArray(value);
  if (schema.type === "null") return value === null;
  if (schema.type === "integer") return Number.isInteger(value);
  return schema.type === undefined || typeof value === schema.type;
}
