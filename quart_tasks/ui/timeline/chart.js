// The timeline's drawing: bars in lanes on a canvas, and what is under the pointer.

/** @import {Bar, Lane, Lanes} from "./lanes.js" */

import { far } from "./lanes.js";
import { clockTicks } from "./navigation.js";

const MOST = 24; // lanes of an executor that are drawn one by one; the others are counted
const [LABELS, AXIS, HEAD, ROW, CROWD] = [104, 24, 22, 18, 44]; // px
const NEAR = 3; // px from a bar that are as good as on it
const STATES = ["running", "succeeded", "failed", "cancelled"];
const HUES = 8;

/** @typedef {{lane: Lane, top: number} | {crowd: Lane[], top: number}} Row */
/** @typedef {{from: number, to: number, now: number, byName: boolean, marked: Bar | null}} Look */

export class Chart {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this._pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** @type {Row[]} */
    this.rows = [];
    /** @type {{label: string, top: number}[]} */
    this._heads = [];
    /** @type {Map<string, string>} */
    this._colours = new Map();
    /** @type {Map<string, number>} */
    this.hues = new Map();
    this._width = 0;
    this._height = 0;
    this._look = { from: 0, to: 1 };
    this._perMs = 1; // px
    /** Nothing ran in the time that is shown. */
    this.isEmpty = true;
  }

  /**
   * The hue of a name, 1 to 8: as they come, so that few names never share one.
   *
   * @param {string} name
   */
  hue(name) {
    const known = this.hues.get(name) ?? (this.hues.size % HUES) + 1;
    this.hues.set(name, known);
    return known;
  }

  /** Take the colours from the style sheet again: a canvas knows no variables. */
  restyle() {
    const probe = document.createElement("i");
    this.canvas.before(probe);
    const names = ["text", "quiet", "line", "panel", "on-accent", ...STATES];
    for (let hue = 1; hue <= HUES; hue += 1) names.push(`n${hue}`);
    for (const name of names) {
      probe.style.color = `var(--${name})`;
      this._colours.set(name, getComputedStyle(probe).color);
    }
    probe.remove();
  }

  /** @param {string} name */
  _colour(name) {
    return this._colours.get(name) ?? "#888";
  }

  /**
   * @param {Lanes} lanes
   * @param {Look} look
   */
  draw(lanes, look) {
    this._look = look;
    this._arrange(lanes);
    this.isEmpty = true;
    this._perMs = (this._width - LABELS) / (look.to - look.from);
    this._fill("panel", 0, 0, this._width, this._height);
    this._drawAxis(look);
    for (const { label, top } of this._heads)
      this._write(label, 12, top + HEAD / 2 + 1, "text", LABELS - 16, 600);
    for (const row of this.rows)
      if ("crowd" in row) this._drawCrowd(row.crowd, row.top, look);
      else this._drawLane(row.lane, row.top, look);
    const now = this.x(look.now);
    if (now >= LABELS && now <= this._width) this._fill("quiet", now, AXIS - 4, 1, this._height);
  }

  /** Give each lane its row, and the canvas its size. @param {Lanes} lanes */
  _arrange(lanes) {
    this.rows = [];
    this._heads = [];
    let top = AXIS;
    for (const { executor, lanes: all } of lanes.groups) {
      this._heads.push({ label: executor, top });
      top += HEAD;
      for (const lane of all.slice(0, MOST)) {
        this.rows.push({ lane, top });
        top += ROW;
      }
      if (all.length > MOST) {
        this.rows.push({ crowd: all.slice(MOST), top });
        top += CROWD;
      }
    }
    const [width, height] = [this.canvas.clientWidth, Math.max(200, top + 8)];
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
      this.canvas.style.height = `${height}px`;
    }
    this._pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this._width = width;
    this._height = height;
  }

  /** The row that a bar is drawn in, if it has one. @param {Bar} bar */
  rowOf(bar) {
    return this.rows.find((row) => "lane" in row && row.lane.place(bar) >= 0);
  }

  /** @param {number} time */
  x(time) {
    return LABELS + (time - this._look.from) * this._perMs;
  }

  /** The time at a place. @param {number} x */
  time(x) {
    return this._look.from + (x - LABELS) / this._perMs;
  }

  /** @param {Look} look */
  _drawAxis({ from, to }) {
    const { times, step } = clockTicks(from, to, (this._width - LABELS) / 90);
    for (const time of times) {
      this._fill("line", this.x(time), AXIS - 5, 1, this._height);
      const date = new Date(time);
      const words = date.toLocaleTimeString("en-GB");
      const part = step < 1000 ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "";
      if (this.x(time) < this._width - 56) this._write(words + part, this.x(time) + 4, 11, "quiet");
    }
    this._fill("line", 0, AXIS - 1, this._width, 1);
  }

  /**
   * @param {Lane} lane
   * @param {number} top
   * @param {Look} look
   */
  _drawLane(lane, top, { from, to, now, byName, marked }) {
    this._write(lane.label, 12, top + ROW / 2 + 1, "quiet");
    this._fill("line", 0, top + ROW - 1, this._width, 1);
    const { bars } = lane;
    let covered = 0; // the pixel that has its colour already
    for (let at = lane.from(from); at < bars.length; at += 1) {
      const bar = bars[at];
      if (bar.start > to) break;
      const x = Math.max(LABELS, this.x(bar.start));
      let end = Math.min(this._width, this.x(Math.min(bar.end, now)));
      if (end < covered && bar !== marked && (byName || bar.state !== "failed")) continue;
      // Thousands of narrow bars, a pixel apart or less, are one.
      if (end - x < NEAR && bar !== marked)
        for (let next = bars[at + 1]; next !== undefined && next !== marked; next = bars[at + 1]) {
          if (next.state !== bar.state) break;
          if (byName && next.name !== bar.name && end - x > NEAR) break;
          const nextEnd = this.x(Math.min(next.end, now));
          if (this.x(next.start) > end + 1 || nextEnd > this.x(next.start) + NEAR) break;
          end = nextEnd;
          at += 1;
        }
      covered = Math.floor(end) + 1;
      this.isEmpty = false;
      const wide = Math.max(1, end - x - (end - x > NEAR ? 1 : 0));
      const [inset, high] = inside(bar);
      this._fill(byName ? `n${this.hue(bar.name)}` : bar.state, x, top + inset, wide, high);
      if (wide > 28 && bar.state !== "cancelled") this._name(bar.name, x, top, wide);
      if (bar === marked) this._mark(x, top, wide);
    }
  }

  /**
   * How many tasks are in lanes that have no row, and of these how many that failed.
   *
   * @param {Lane[]} lanes
   * @param {number} top
   * @param {Look} look
   */
  _drawCrowd(lanes, top, { from, to, now }) {
    const columns = Math.max(1, Math.ceil(this._width - LABELS));
    const [all, failed] = [new Int32Array(columns + 1), new Int32Array(columns + 1)];
    for (const lane of lanes)
      for (let at = lane.from(from); at < lane.bars.length; at += 1) {
        const bar = lane.bars[at];
        if (bar.start > to) break;
        const first = Math.max(0, Math.floor(this.x(bar.start) - LABELS));
        const last = Math.min(columns, Math.floor(this.x(Math.min(bar.end, now)) - LABELS) + 1);
        for (const counts of bar.state === "failed" ? [all, failed] : [all]) {
          counts[first] += 1;
          counts[last] -= 1;
        }
      }
    this._write(`${lanes.length} more`, 12, top + CROWD / 2, "quiet");
    const most = lanes.length;
    for (let x = 0, here = 0, bad = 0; x < columns; x += 1) {
      here += all[x];
      if (here) this.isEmpty = false;
      bad += failed[x];
      const [high, low] = [(here / most) * (CROWD - 4), (bad / most) * (CROWD - 4)];
      if (here) this._fill("running", LABELS + x, top + CROWD - 2 - high, 1, Math.max(1, high));
      if (bad) this._fill("failed", LABELS + x, top + CROWD - 2 - low, 1, Math.max(2, low));
    }
    this._fill("line", 0, top + CROWD - 1, this._width, 1);
  }

  /** @param {string} name @param {number} x @param {number} top @param {number} wide */
  _name(name, x, top, wide) {
    const most = Math.floor((wide - 8) / 6); // characters of 11 px; a few px more are squeezed
    const words = name.length <= most ? name : most > 3 ? `${name.slice(0, most - 1)}…` : "";
    if (words) this._write(words, x + 4, top + ROW / 2, "on-accent", wide - 8);
  }

  /** @param {number} x @param {number} top @param {number} wide */
  _mark(x, top, wide) {
    this._pen.strokeStyle = this._colour("text");
    this._pen.lineWidth = 2;
    this._pen.strokeRect(x - 1, top + 1, wide + 2, ROW - 3);
  }

  /**
   * @param {string} colour
   * @param {[x: number, y: number, width: number, height: number]} place
   */
  _fill(colour, ...place) {
    this._pen.fillStyle = this._colour(colour);
    this._pen.fillRect(...place);
  }

  /** @param {string} words @param {number} x @param {number} y @param {string} colour */
  _write(words, x, y, colour, most = LABELS - 16, weight = 400) {
    this._pen.font = `${weight} 11px system-ui, sans-serif`;
    this._pen.textBaseline = "middle";
    this._pen.fillStyle = this._colour(colour);
    this._pen.fillText(words, x, y, most);
  }

  /** The bar at a place of the canvas. @param {number} x @param {number} y */
  at(x, y) {
    const row = this.rows.find((each) => y >= each.top && y < each.top + ROW);
    if (x < LABELS || !row || "crowd" in row) return null;
    const bar = row.lane.near(this.time(x));
    return bar && far(bar, this.time(x)) <= NEAR / this._perMs ? bar : null;
  }
}

/** Where a bar is in its row: failed ones are high, cancelled ones low. @param {Bar} bar */
function inside({ state }) {
  if (state === "failed") return [0, ROW - 1];
  return state === "cancelled" ? [ROW / 2, ROW / 2 - 3] : [3, ROW - 7];
}
