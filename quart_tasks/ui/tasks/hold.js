// Whether somebody points at the rows: what is about to be clicked stays where it is.

const QUIET = 1500; // ms after the pointer has moved

export class Hold {
  /**
   * @param {HTMLElement} body
   * @param {() => void} begin is called when the rows are to hold still
   * @param {() => void} end is called when they may move again
   */
  constructor(body, begin, end) {
    this._until = 0;
    this._pointed = false; // at something that can be clicked
    this._timer = 0;
    this._begin = begin;
    this._end = end;
    body.addEventListener("pointermove", (event) => this._move(event), { passive: true });
    body.addEventListener("pointerleave", () => {
      this._pointed = false;
      end();
    });
  }

  close() {
    clearTimeout(this._timer);
  }

  get on() {
    return this._pointed || performance.now() < this._until;
  }

  release() {
    this._until = 0;
    this._pointed = false;
  }

  /** @param {PointerEvent} event */
  _move({ target }) {
    this._pointed = /** @type {Element} */ (target).closest("a, button, input") !== null;
    this._until = performance.now() + QUIET;
    this._timer ||= setTimeout(() => this._look(), QUIET);
    this._begin();
  }

  _look() {
    const left = this._until - performance.now();
    this._timer = left > 0 ? setTimeout(() => this._look(), left) : 0;
    if (!this._timer) this._end();
  }
}
