// Values over time as the outlines of SVG paths.

/** @typedef {(number | null)[]} Values */
/** @typedef {(value: number) => number} Place */

/**
 * A line, broken where there is no value, or none for longer than `gap`.
 *
 * @param {Values} values
 * @param {number[]} xs where they are, px
 * @param {Place} y
 * @param {number} gap px
 */
export function line(values, xs, y, gap) {
  let d = "";
  let before = NaN;
  values.forEach((value, at) => {
    const x = value === null ? NaN : xs[at];
    if (value !== null) {
      const place = `${x.toFixed(1)} ${y(value).toFixed(1)}`;
      // A point alone is a line of no length, which round ends make a dot.
      d += x - before < gap ? `L${place}` : `M${place}h0`;
    }
    before = x;
  });
  return d;
}

/**
 * A block for each value, on top of what is `below`, which grows by it.
 *
 * @param {Values} values
 * @param {number[]} below
 * @param {number[]} xs where they end, px
 * @param {Place} y
 * @param {number} wide px that a block is wide at most
 */
export function blocks(values, below, xs, y, wide) {
  let d = "";
  values.forEach((value, at) => {
    if (!value) return;
    const bottom = y(below[at]).toFixed(1);
    below[at] += value;
    const top = y(below[at]).toFixed(1);
    const since = Math.max(xs[at - 1] ?? 0, xs[at] - wide);
    d += `M${since.toFixed(1)} ${bottom}V${top}H${xs[at].toFixed(1)}V${bottom}Z`;
  });
  return d;
}

/** A triangle at the top where a value is not 0. @param {Values} values @param {number[]} xs px */
export const marks = (values, xs) =>
  values.map((value, at) => (value ? `M${(xs[at] - 3).toFixed(1)} 2h6l-3 6z` : "")).join("");
