// The part of time that the timeline shows, and how pointer and keys move it.

/** @import {Chart} from "./chart.js" */
/** @import {Bar} from "./lanes.js" */

const [LEAST, MOST] = [20, 60 * 60_000]; // ms that may be shown
const BACK = 60 * 60_000; // ms that it may lie in the past

const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600,
];

/**
 * Round times between two, at most `most` of them.
 *
 * @param {number} from ms
 * @param {number} to ms
 * @param {number} most
 * @returns {{times: number[], step: number}} both in ms
 */
export function clockTicks(from, to, most) {
  const wanted = (to - from) / 1000 / Math.max(1, most);
  const step = (STEPS.find((each) => each >= wanted) ?? 1800) * 1000;
  const times = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) times.push(time);
  return { times, step };
}

export class TimeWindow {
  /**
   * @param {() => number} now
   * @param {() => void} onMove
   */
  constructor(now, onMove) {
    this.span = 5 * 60_000; // ms
    this._now = now;
    this._onMove = onMove;
    /** @type {number | null} */
    this._end = null; // it goes with the time
  }

  get isLive() {
    return this._end === null;
  }

  get to() {
    return this._end ?? this._now() + this.span * 0.01;
  }

  get from() {
    return this.to - this.span;
  }

  /** Go with the time from now on. @param {number} [span] */
  follow(span = this.span) {
    this.span = span;
    this._end = null;
    this._onMove();
  }

  toggle() {
    if (this._end !== null) return this.follow();
    this._end = this.to;
    this._onMove();
  }

  /**
   * Show more or less, about a time; when it is live, its end stays now.
   *
   * @param {number} factor
   * @param {number} [about] ms
   */
  zoom(factor, about = this.to - this.span / 2) {
    const span = Math.min(MOST, Math.max(LEAST, this.span * factor));
    if (this._end !== null) this._end = about + ((this.to - about) / this.span) * span;
    this.span = span;
    this._clamp();
  }

  /** @param {number} milliseconds */
  move(milliseconds) {
    this._end = this.to + milliseconds;
    this._clamp();
  }

  /** Have a bar in sight. @param {Bar} bar */
  show(bar) {
    const end = Math.min(bar.end, this._now());
    if (end < this.from) this.move(end - this.from - this.span * 0.2);
    else if (bar.start > this.to) this.move(bar.start - this.to + this.span * 0.2);
  }

  _clamp() {
    const now = this._now();
    // Whoever moves past the present goes on with it.
    if (this._end !== null && this._end > now + this.span * 0.05) this._end = null;
    else if (this._end !== null) this._end = Math.max(this._end, now - BACK);
    this._onMove();
  }
}

/** @typedef {{mark: (bar: Bar | null, keyed?: boolean) => void, marked: () => Bar | null}} Marks */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Chart} chart
 * @param {TimeWindow} view
 * @param {Marks} marks
 */
export function steer(canvas, chart, view, marks) {
  const perPixel = () => chart.time(1) - chart.time(0);
  let [pressed, moved] = [NaN, 0];

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode ? 20 : 1;
    const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    if (Math.abs(sideways) > Math.abs(event.deltaY) || event.shiftKey)
      view.move(sideways * lines * perPixel());
    else view.zoom(1.0015 ** (event.deltaY * lines), chart.time(event.offsetX));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    [pressed, moved] = [event.offsetX, 0];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (Number.isNaN(pressed)) {
      const bar = chart.at(event.offsetX, event.offsetY);
      canvas.style.cursor = bar ? "pointer" : "grab";
      marks.mark(bar);
      return;
    }
    const by = event.offsetX - pressed;
    moved += Math.abs(by);
    if (moved < 4) return;
    canvas.style.cursor = "grabbing";
    view.move(-by * perPixel());
    pressed = event.offsetX;
  });
  canvas.addEventListener("pointerup", (event) => {
    const isClick = !Number.isNaN(pressed) && moved < 4;
    pressed = NaN;
    const bar = isClick && chart.at(event.offsetX, event.offsetY);
    if (bar) location.hash = `#/tasks/${encodeURIComponent(bar.id)}`;
  });
  canvas.addEventListener("pointercancel", () => (pressed = NaN));
  canvas.addEventListener("pointerleave", () => marks.mark(null));
  canvas.addEventListener("blur", () => marks.mark(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const did = onKey(event, chart, view, marks);
    if (did) event.preventDefault();
  });
}

/**
 * @param {KeyboardEvent} event
 * @param {Chart} chart
 * @param {TimeWindow} view
 * @param {Marks} marks
 */
function onKey({ key, shiftKey }, chart, view, marks) {
  const bar = marks.marked();
  const way = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[key];
  if (key === "+" || key === "=") view.zoom(0.5);
  else if (key === "-") view.zoom(2);
  else if (key === " ") view.toggle();
  else if (key === "End") view.follow();
  else if (key === "Escape") marks.mark(null);
  else if (key === "Enter" && bar) location.hash = `#/tasks/${encodeURIComponent(bar.id)}`;
  else if (way && shiftKey) view.move((way * view.span) / 10);
  else if (way) {
    const next = neighbour(chart, view, bar, way, /Left|Right/.test(key));
    if (next) {
      view.show(next);
      marks.mark(next, true);
    }
  } else return false;
  return true;
}

/**
 * The next bar in the lane, or the nearest of the next lane; at first the newest of all.
 *
 * @param {Chart} chart
 * @param {TimeWindow} view
 * @param {Bar | null} bar
 * @param {number} way
 * @param {boolean} inLane
 */
function neighbour(chart, view, bar, way, inLane) {
  const lanes = chart.rows.flatMap((row) =>
    "lane" in row && row.lane.bars.length ? [row.lane] : [],
  );
  const at = bar ? lanes.findIndex((lane) => lane.place(bar) >= 0) : -1;
  if (!bar || at < 0) return lanes[0]?.near(view.to);
  return inLane ? lanes[at].bars[lanes[at].place(bar) + way] : lanes[at + way]?.near(bar.start);
}
