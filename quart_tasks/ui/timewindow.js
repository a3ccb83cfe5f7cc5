// The part of time that the timeline shows.

/** @import {Bar} from "./lanes.js" */

const [LEAST, MOST] = [20, 60 * 60_000]; // ms that may be shown
const BACK = 60 * 60_000; // ms that it may lie in the past

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
