// One task as the server tells of it.

/** @import {Attempt} from "./life.js" */
/** @import {Detail, Frame, TaskRecord} from "../shapes.js" */
/** @import {Store} from "../store.js" */

import { Refused, get, sentence } from "../api.js";
import { Stream } from "../stream.js";
import { note } from "./life.js";

/** @typedef {{index: number, value: any, attempt: number}} Output */
/** @typedef {{level: string, logger: string, message: string, time: string}} LogLine */

/**
 * `begin`: outputs, or log lines too, come anew. `told` is a sentence on the connection, "" if
 * all is well; `gone` one on why there is no such task.
 *
 * @typedef {{changed: (record: TaskRecord) => void, begin: (logs: boolean) => void,
 *            came: (outputs: Output[], logs: LogLine[]) => void,
 *            told: (sentence: string) => void, gone: (sentence: string) => void}} Listener
 */

export class Feed {
  /**
   * @param {Store} store
   * @param {string} id
   * @param {Listener} listener
   */
  constructor(store, id, listener) {
    /** @type {TaskRecord | null} */
    this.record = null;
    /** @type {Map<number, Attempt>} */
    this.attempts = new Map();
    this._path = `/${encodeURIComponent(id)}`;
    this._id = id;
    this._listener = listener;
    this._next = 0; // the index of the output to come
    this._attempt = 0; // that the outputs are of
    this._closed = false;
    this._ended = false; // nothing follows the terminal `state`
    this._unlisten = store.listen((frames) => this._hear(frames));
    this._stream = new Stream(`${this._path}/events`, (frames) => this._take(frames), {
      tell: (link, why) => this._onLink(link, why),
    });
  }

  close() {
    this._closed = true;
    this._unlisten();
    this._stream.close();
  }

  /** @param {Frame[]} frames */
  _take(frames) {
    const [outputs, logs] = [/** @type {Output[]} */ ([]), /** @type {LogLine[]} */ ([])];
    for (const { type, data, time, cursor } of frames) {
      if (type === "snapshot" && data.tasks.length) {
        // After too long a pause, only what was missed follows.
        if (data.reason !== "lagged") this._begin(outputs, logs);
        this._put(data.tasks[0], null);
      } else if (type === "state") {
        this._put(data, time);
        this._ended = data.finished_at !== null;
      } else if (type === "progress" && this.record) {
        this.record = { ...this.record, progress: data, cursor };
      } else if (type === "log") logs.push({ ...data, time });
      else if (type === "output") this._output(data, outputs);
    }
    this._listener.came(outputs, logs);
    if (this.record) this._listener.changed(this.record);
    if (!this._ended) return;
    this._stream.close();
    this._listener.told("");
  }

  /**
   * @param {Output[]} outputs
   * @param {LogLine[]} logs
   */
  _begin(outputs, logs) {
    outputs.length = logs.length = this._next = 0;
    this._listener.begin(true);
  }

  /**
   * @param {Output} output
   * @param {Output[]} outputs
   */
  _output(output, outputs) {
    if (output.attempt !== this._attempt) {
      this._attempt = output.attempt;
      outputs.length = this._next = 0;
      this._listener.begin(false);
    }
    if (output.index < this._next) return;
    this._next = output.index + 1;
    outputs.push(output);
  }

  /**
   * @param {TaskRecord} record
   * @param {string | null} time of its frame
   */
  _put(record, time) {
    const first = !this.record;
    this.record = record;
    note(this.attempts, record, time);
    if (first && record.attempt && record.max_attempts > 1) void this._askAttempts();
  }

  /** A record knows its last attempt only. */
  async _askAttempts() {
    try {
      /** @type {Detail} */
      const detail = await get(this._path);
      const before = detail.attempt - detail.attempts.length;
      detail.attempts.forEach((each, at) => this.attempts.set(before + at + 1, each));
      if (this.record) note(this.attempts, this.record, null);
      if (this.record && !this._closed) this._listener.changed(this.record);
    } catch (error) {
      if (!this._closed)
        this._listener.told(`Its attempts could not be loaded. ${sentence(error)}`);
    }
  }

  /** What the stream of all tasks brings. @param {Frame[]} frames */
  _hear(frames) {
    for (const { type, task_id, data } of frames) {
      if (type === "deleted" && task_id === this._id) this._gone("The task was deleted.");
      // The server has started anew: does it still know the task?
      if (type === "snapshot" && data.reason === "epoch" && !data.more) void this._askAfter();
    }
  }

  /**
   * @param {string} link
   * @param {string} why
   */
  _onLink(link, why) {
    if (this._ended) return;
    if (link === "refused") void this._askAfter();
    else if (link === "live") this._listener.told("");
    else if (link === "lost") this._listener.told(`${why} What you see is from before.`);
  }

  async _askAfter() {
    try {
      await get(this._path);
    } catch (error) {
      if (this._closed) return;
      if (!(error instanceof Refused)) this._listener.told(sentence(error));
      else if (error.status !== 404) this._gone(error.message);
      else if (this.record) this._gone("The server does not have this task any more.");
      else this._gone("There is no such task: the server never had it, or has forgotten it.");
    }
  }

  /** @param {string} told */
  _gone(told) {
    this._stream.close();
    this._listener.gone(told);
  }
}
