// Numbers, sizes and times in words.

// Made once: to make one takes longer than to fill a row of the list.
const NUMBER = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const WHOLE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

/** "12,345". @param {number} value */
export const number = (value) => NUMBER.format(value);

/**
 * "870 µs", "12 ms", "3.4 s", "2 min 5 s", "3 h 12 min".
 *
 * @param {number | null} seconds
 */
export function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.001) return `${Math.max(0, Math.round(seconds * 1e6))} µs`;
  if (seconds < 0.0995) return `${short(seconds * 1000)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${short(seconds)} s`;
  const whole = Math.round(seconds);
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** @param {number} value */
const short = (value) => (value < 9.95 ? value.toFixed(1) : String(Math.round(value)));

/**
 * "12 s ago", "in 3 min"; "now" for less than a second.
 *
 * @param {string} time RFC 3339
 * @param {number} [now] ms
 */
export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const words = duration(Math.round(Math.abs(seconds))).replace(".0 s", " s");
  const rough = words.split(" ").slice(0, 2).join(" ");
  return seconds > 0 ? `${rough} ago` : `in ${rough}`;
}

/** "14:03:12.250", in the reader's zone. @param {string | number} time RFC 3339, or ms */
export function clock(time) {
  const date = new Date(time);
  return `${TIME.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** The whole time, with its date and zone, for titles. @param {string} time RFC 3339 */
export const moment = (time) => WHOLE.format(new Date(time));

/**
 * "512 B", "1.4 kB", "20 MB".
 *
 * @param {number} count
 */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (count >= 999.5 && unit < 3) {
    count /= 1000;
    unit += 1;
  }
  return `${unit ? short(count) : count} ${units[unit]}`;
}

/**
 * Seconds from one time to another, or to now.
 *
 * @param {string} from RFC 3339
 * @param {string | null} [to] RFC 3339
 */
export const between = (from, to) =>
  Math.max(0, (to ? micros(to) : Date.now() * 1000) - micros(from)) / 1e6;

/** A Date has whole milliseconds. @param {string} time RFC 3339, with microseconds */
const micros = (time) => Date.parse(time) * 1000 + Number(time.slice(23, 26));
