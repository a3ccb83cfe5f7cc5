// What plots are made of: scales, and outlines of values over time.

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

/**
 * `place` gives 0 at the axis' low end to 1 at its high end.
 *
 * @typedef {{ticks: number[], place: (value: number) => number}} Scale
 */

/** The next of 1, 2, 5, 10, 20, … that is at least `value`. @param {number} value */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((each) => each * power >= value * 0.999) ?? 10;
  return factor * power;
}

/**
 * Counts from 0 to at least `greatest`, in whole steps.
 *
 * @param {number} greatest
 * @returns {Scale}
 */
export function linear(greatest) {
  const step = Math.max(1, rounded(Math.max(greatest, 1) / 3));
  const top = step * Math.max(2, Math.ceil(greatest / step));
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, at) => at * step);
  return { ticks, place: (value) => value / top };
}

/**
 * Whole powers of ten round both values, two at least: a median of microseconds beside a 99th
 * percentile of seconds would lie on the axis of a linear scale.
 *
 * @param {number} least
 * @param {number} greatest
 * @returns {Scale}
 */
export function logarithmic(least, greatest) {
  const low = Math.floor(Math.log10(least) + 1e-9);
  const high = Math.max(low + 2, Math.ceil(Math.log10(greatest) - 1e-9));
  const every = high - low > 4 ? 2 : 1;
  const ticks = [];
  for (let power = low; power <= high; power += every) ticks.push(10 ** power);
  const bottom = 10 ** low;
  return {
    ticks,
    place: (value) => Math.log10(Math.max(value, bottom) / bottom) / (high - low),
  };
}

/**
 * The scale that holds these columns of values.
 *
 * @param {(number | null)[][]} columns
 * @param {boolean} times whether they are seconds
 * @param {boolean} stacked whether they add up
 * @returns {Scale}
 */
export function scaleOf(columns, times, stacked) {
  const known = columns.flat().filter((value) => value !== null);
  if (times) {
    const positive = known.filter((value) => value > 0);
    if (!positive.length) return logarithmic(0.001, 1);
    // Nobody needs to see less than 10 µs.
    return logarithmic(Math.max(1e-5, Math.min(...positive)), Math.max(1e-5, ...positive));
  }
  if (!stacked) return linear(Math.max(0, ...known));
  const sums = (columns[0] ?? []).map((_, at) =>
    columns.reduce((sum, column) => sum + (column[at] ?? 0), 0));
  return linear(Math.max(0, ...sums));
}
