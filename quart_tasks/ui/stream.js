// Server-Sent Events by `fetch`, which can send a token, as EventSource cannot.

/** @import {Frame} from "./shapes.js" */

import { request } from "./api.js";

const FIRST_PAUSE = 500; // ms after which a broken stream is asked for again; then twice as long
const LONGEST_PAUSE = 10_000;
const SILENCE = 40_000; // the server says something every 15 s: after this it is gone
const HIDDEN = 5_000; // how long a page may be out of sight before its streams are let go

/** @typedef {"connecting" | "live" | "lost" | "paused" | "ended" | "refused"} Link */

/**
 * What a server sends, for as long as the page is in sight. It goes on after the last cursor when
 * the connection breaks, the server restarts or the page comes back.
 *
 * `take` gets what came since the last frame that was drawn, in one piece.
 */
export class Stream {
  /**
   * @param {string} path
   * @param {(frames: Frame[]) => void} take
   * @param {{after?: string | null, tell?: (link: Link, why: string) => void,
   *          resumes?: boolean}} [options]
   *   `after` is a cursor to begin with; `tell` hears of the connection; one that does not
   *   `resume` begins anew each time
   */
  constructor(path, take, { after = null, tell = () => {}, resumes = true } = {}) {
    this.cursor = after;
    this._path = path;
    this._take = take;
    this._tell = tell;
    this._resumes = resumes;
    /** @type {Frame[]} */
    this._waiting = [];
    this._drawing = 0;
    this._closed = false;
    /** @type {AbortController | null} */
    this._connection = null;
    /** @type {(() => void) | null} */
    this._hurry = null;
    this._hiding = 0;
    this._seen = () => this._onVisibility();
    document.addEventListener("visibilitychange", this._seen);
    addEventListener("online", this._seen);
    void this._run();
  }

  close() {
    this._closed = true;
    document.removeEventListener("visibilitychange", this._seen);
    removeEventListener("online", this._seen);
    clearTimeout(this._hiding);
    cancelAnimationFrame(this._drawing);
    this._connection?.abort();
    this._hurry?.();
  }

  /** Try again now. */
  retry() {
    this._hurry?.();
  }

  _onVisibility() {
    clearTimeout(this._hiding);
    if (document.hidden) this._hiding = setTimeout(() => this._connection?.abort(), HIDDEN);
    else this._hurry?.();
  }

  async _run() {
    let pause = FIRST_PAUSE;
    while (!this._closed) {
      if (document.hidden) {
        this._tell("paused", "The page is out of sight.");
        await this._wait(0);
        continue;
      }
      let why = "The server has ended the stream.";
      try {
        const status = await this._read(() => (pause = FIRST_PAUSE));
        if (status === 204 || (status >= 400 && status < 500 && status !== 429)) {
          this._tell(status === 204 ? "ended" : "refused", `The server answered ${status}.`);
          return;
        }
        if (status >= 300) why = `The server answered ${status}.`;
      } catch (error) {
        if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
        why = "The server cannot be reached.";
      }
      if (this._closed) return;
      if (document.hidden) continue;
      this._tell("lost", why);
      await this._wait(pause * (0.75 + Math.random() / 2));
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  }

  /**
   * Wait so many milliseconds, or until somebody is in a hurry; 0: only for that.
   *
   * @param {number} milliseconds
   * @returns {Promise<void>}
   */
  _wait(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds ? setTimeout(resolve, milliseconds) : 0;
      this._hurry = () => {
        clearTimeout(timer);
        this._hurry = null;
        resolve();
      };
    });
  }

  /**
   * One connection, to its end; the answer's status.
   *
   * @param {() => void} onFrame
   * @returns {Promise<number>}
   */
  async _read(onFrame) {
    this._tell("connecting", "");
    const connection = (this._connection = new AbortController());
    let silence = setTimeout(() => connection.abort(), SILENCE);
    try {
      let path = this._path;
      if (this.cursor !== null && this._resumes)
        path += `${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(this.cursor)}`;
      const response = await request(path, {
        headers: { Accept: "text/event-stream" },
        signal: connection.signal,
        cache: "no-store",
      });
      if (response.status !== 200 || !response.body) return response.status;
      this._tell("live", "");
      let rest = "";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return 200;
        clearTimeout(silence);
        silence = setTimeout(() => connection.abort(), SILENCE);
        const messages = (rest + value).split("\n\n");
        rest = messages.pop() ?? "";
        for (const message of messages) this._message(message, onFrame);
      }
    } finally {
      clearTimeout(silence);
      this._connection = null;
      this._flush(); // what came last may say that nothing follows
    }
  }

  /**
   * @param {string} message
   * @param {() => void} onFrame
   */
  _message(message, onFrame) {
    const at = message.indexOf("data: ");
    if (at < 0) return; // a heartbeat, or `retry:`
    /** @type {Frame} */
    const frame = JSON.parse(message.slice(at + 6));
    if (frame.cursor) this.cursor = frame.cursor;
    onFrame();
    if (frame.type === "bye") return;
    this._waiting.push(frame);
    this._drawing ||= requestAnimationFrame(() => this._flush());
  }

  _flush() {
    cancelAnimationFrame(this._drawing);
    this._drawing = 0;
    const frames = this._waiting;
    this._waiting = [];
    if (frames.length && !this._closed) this._take(frames);
  }
}
