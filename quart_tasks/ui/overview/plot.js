// A plot of the last five minutes: areas or lines, and a crosshair for mouse and keyboard.

/** @import {Sample} from "../shapes.js" */
/** @import {Scale} from "./geometry.js" */

import { fill, h, set, text } from "../dom.js";
import { clock } from "../format.js";
import { blocks, line, linear, marks, scaleOf } from "./geometry.js";

export const SPAN = 300_000; // ms
const GAP = 2500; // ms without a sample: the server was away
const [LEFT, RIGHT, TOP, BOTTOM] = [54, 10, 10, 20];

/**
 * One curve. `style` is a class that says how it is drawn (`overview.css`), so that colour is not
 * all that tells it from others; `marked` seconds, where it is not 0, get a mark at the top.
 *
 * @typedef {{label: string, style: string, of: (sample: Sample) => number | null,
 *            marked?: boolean}} Series
 */

/**
 * `times`: values are seconds, on a scale of powers of ten. `stacked`: areas on top of each other.
 *
 * @typedef {{title: string, unit: string, series: Series[], format: (value: number) => string,
 *            tick?: (value: number) => string, times?: boolean, stacked?: boolean}} Shape
 */

/**
 * @param {string} tag
 * @param {{[name: string]: any}} [properties]
 * @param {any[]} children
 */
function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  element.append(...children);
  return element;
}

export class Plot {
  /**
   * @param {Shape} shape
   * @param {(time: number | null) => void} onPoint somebody points at a time
   */
  constructor(shape, onPoint) {
    this._shape = shape;
    this._onPoint = onPoint;
    /** @type {Sample[]} */
    this._samples = [];
    /** @type {number[]} */
    this._times = [];
    this._end = 0;
    this._at = -1; // the sample pointed at
    this._width = 0;
    this._height = 0;
    /** @type {Scale} */
    this._scale = linear(0);

    this._values = shape.series.map(() => h("b"));
    this._time = h("span.time");
    const legend = shape.series.map((each, number) =>
      h("li", {},
        svg("svg", { class: `swatch ${each.style}`, width: 18, height: 8, "aria-hidden": "true" },
          svg("path", { d: shape.stacked ? "M0 8V1H18V8Z" : "M1 4H17" })),
        each.label, " ", this._values[number]));
    this._grid = svg("g", { class: "gridlines" });
    this._curves = shape.series.map((each) => svg("path", { class: `curve ${each.style}` }));
    this._marks = svg("path", { class: "mark" });
    this._cross = svg("path", { class: "cross" });
    this._svg = svg("svg", { "aria-hidden": "true" },
      this._grid, ...this._curves, this._marks, this._cross);
    this._pad = h("div.pad", {
      role: "slider", tabindex: "0",
      "aria-label": `${shape.title}, a second of the last five minutes`,
      "aria-valuemin": -300, "aria-valuemax": 0, "aria-valuenow": 0,
      "aria-valuetext": "no values yet",
      onpointermove: (/** @type {PointerEvent} */ event) => this._onMove(event),
      onpointerleave: () => this._onPoint(null),
      onblur: () => this._onPoint(null),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this._onKey(event),
    }, this._svg);
    this.element = h("div.plot.panel", { role: "group", "aria-label": shape.title },
      h("div.plot-head", {}, h("h2", {}, shape.title, " ", h("small", {}, shape.unit)), this._time),
      h("ul.legend", {}, legend), this._pad);
    this._sizes = new ResizeObserver(([entry]) => {
      this._width = entry.contentRect.width;
      this._height = entry.contentRect.height;
      this._draw();
    });
    this._sizes.observe(this._pad);
  }

  close() {
    this._sizes.disconnect();
  }

  /**
   * @param {Sample[]} samples
   * @param {number[]} times theirs, in ms
   */
  show(samples, times) {
    const pointed = this._at >= 0 ? this._times[this._at] : null;
    this._samples = samples;
    this._times = times;
    this._end = times.at(-1) ?? 0;
    this._draw();
    this.point(pointed);
  }

  /** Point at the sample nearest to a time, or at none. @param {number | null} time */
  point(time) {
    this._at = time === null ? -1 : nearest(this._times, time);
    const at = this._at >= 0 ? this._at : this._samples.length - 1;
    const { series, format } = this._shape;
    const shown = series.map(({ of }) => {
      const value = at >= 0 ? of(this._samples[at]) : null;
      return value === null ? "–" : format(value);
    });
    this._values.forEach((each, number) => text(each, shown[number]));
    const words = at >= 0 ? clock(this._samples[at].time).slice(0, 8) : "";
    text(this._time, this._at >= 0 ? words : "");
    if (at >= 0) {
      const spoken = series.map((each, number) => `${each.label} ${shown[number]}`).join(", ");
      set(this._pad, "aria-valuetext", `${words}: ${spoken}`);
      set(this._pad, "aria-valuenow", Math.round((this._times[at] - this._end) / 1000));
    }
    this._drawCross();
  }

  /** @param {number} time */
  _x(time) {
    return LEFT + (1 - (this._end - time) / SPAN) * (this._width - LEFT - RIGHT);
  }

  /** @param {number} value */
  _y(value) {
    return this._height - BOTTOM - this._scale.place(value) * (this._height - TOP - BOTTOM);
  }

  _draw() {
    if (this._width <= 0) return;
    set(this._svg, "viewBox", `0 0 ${this._width} ${this._height}`);
    const { series, stacked = false, times = false } = this._shape;
    const columns = series.map(({ of }) => this._samples.map(of));
    this._scale = scaleOf(columns, times, stacked);
    this._drawGrid();
    const xs = this._times.map((time) => this._x(time));
    const y = (/** @type {number} */ value) => this._y(value);
    const below = this._samples.map(() => 0);
    const gap = this._x(GAP) - this._x(0);
    columns.forEach((values, at) =>
      set(
        this._curves[at],
        "d",
        stacked ? blocks(values, below, xs, y, gap / 2) : line(values, xs, y, gap),
      ),
    );
    const marked = columns.filter((_, at) => series[at].marked);
    set(this._marks, "d", marked.map((values) => marks(values, xs)).join(""));
    this._drawCross();
  }

  _drawGrid() {
    const { ticks } = this._scale;
    const write = this._shape.tick ?? this._shape.format;
    const lines = ticks.map(
      (tick) => `M${LEFT} ${this._y(tick).toFixed(1)}H${this._width - RIGHT}`,
    );
    const labels = ticks.map((tick) =>
      svg("text", { x: LEFT - 6, y: this._y(tick) + 4, "text-anchor": "end" }, write(tick)),
    );
    for (let minute = 4; minute >= 0; minute -= 1)
      labels.push(
        svg("text", { x: this._x(this._end - minute * 60_000), y: this._height - 5,
                      "text-anchor": minute ? "middle" : "end" },
            minute ? `−${minute} min` : "now"));
    fill(this._grid, svg("path", { d: lines.join("") }), ...labels);
  }

  _drawCross() {
    const x = this._at >= 0 ? this._x(this._times[this._at]).toFixed(1) : "";
    set(this._cross, "d", x && `M${x} ${TOP}V${this._height - BOTTOM}`);
  }

  /** @param {PointerEvent} event */
  _onMove(event) {
    const part = (event.offsetX - LEFT) / (this._width - LEFT - RIGHT);
    this._onPoint(part < -0.01 || part > 1.01 ? null : this._end - (1 - part) * SPAN);
  }

  /** @param {KeyboardEvent} event */
  _onKey(event) {
    const last = this._times.length - 1;
    const at = this._at < 0 ? last + 1 : this._at;
    /** @type {{[key: string]: number}} */
    const places = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowUp: at + 1,
                     PageDown: at - 10, PageUp: at + 10, Home: 0, End: last };
    if (event.key === "Escape") this._onPoint(null);
    const place = places[event.key];
    if (place === undefined || last < 0) return;
    event.preventDefault();
    this._onPoint(this._times[Math.max(0, Math.min(last, place))]);
  }
}

/** @param {number[]} times sorted @param {number} time */
function nearest(times, time) {
  let [low, high] = [0, times.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle;
    else high = middle;
  }
  return high > low && times[high] - time < time - times[low] ? high : Math.min(low, high);
}
