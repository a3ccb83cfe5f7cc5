// The tasks that match a query: live from the store, older ones from the server.

/** @import {Query} from "../query.js" */
/** @import {Store, View} from "../store.js" */

import { tasksIn } from "../actions.js";
import { fill, h, text } from "../dom.js";
import { matcher, written } from "../query.js";
import { Grid } from "./grid.js";
import { History, ROOM } from "./history.js";

/**
 * Where a list was left: that view's floor, the row in sight and the active one.
 *
 * @typedef {{line: string, losses: number, floor: string, from: string, active: string}} Place
 */

export class List {
  /**
   * @param {Store} store
   * @param {Query} query
   * @param {{act: (id: string) => void, picked: () => void, clear: () => void}} listener
   * @param {Place | null} place that may have been of the same query
   */
  constructor(store, query, listener, place) {
    this._store = store;
    this.grid = new Grid(store, {
      ...listener,
      drawn: () => this._drawn(),
      wanted: () => this.history.next(),
    });
    this._none = h("p.empty", { hidden: true });
    this.grid.element.append(this._none);
    this._count = h("p.count");
    this._again = h("button", { type: "button", hidden: true, onclick: () => this.history.retry() },
      "Try again"); // prettier-ignore
    this.foot = h("div.known", {}, this._count, this._again);
    this._unlisten = store.listen((frames) => {
      if (
        frames.some(
          ({ type, data }) => type === "snapshot" && data.reason !== "lagged" && !data.more,
        )
      )
        this.history.restart(); // what ended before it is not in it
    });
    this._query = query;
    this.view = this._viewOf(query);
    this.history = this._historyOf(query);
    if (place && place.line === written(query) && place.losses === store.losses) {
      this.view.floor = place.floor;
      this.grid.rows.open(this.view, place.from, place.active);
    } else this._begin();
  }

  close() {
    this._unlisten();
    this.grid.close();
    this._leave();
  }

  /** Show what matches another query. @param {Query} query */
  open(query) {
    this._leave();
    this.grid.selection.clear();
    this._query = query;
    this.view = this._viewOf(query);
    this.history = this._historyOf(query);
    this._none.hidden = true;
    this._begin();
  }

  /** @returns {Place} */
  get place() {
    const { first, isAtTop, active } = this.grid.rows;
    const [line, { losses }, { floor }] = [written(this._query), this._store, this.view];
    return { line, losses, floor, from: isAtTop ? "" : first, active };
  }

  /** @param {Query} query @returns {View} */
  _viewOf(query) {
    return this._store.view(matcher(query), () => this.grid.rows.redraw());
  }

  /** @param {Query} query */
  _historyOf(query) {
    return new History(this._store, this.view, query, () => this.grid.rows.redraw());
  }

  _begin() {
    this.grid.rows.open(this.view);
    this.history.restart();
  }

  _leave() {
    this.history.close();
    this._store.release(this.view);
  }

  _drawn() {
    const { count, waiting } = this.grid.rows;
    const { complete, loading, failure } = this.history;
    this.grid.total = complete ? count : -1;
    text(this._count, this._query.problem ? "" : this._summary(count));
    this._again.hidden = !failure;
    const none = !count && !waiting && !loading && !failure;
    if (none && this._none.hidden) fill(this._none, this._nothing());
    this._none.hidden = !none;
  }

  /** @param {number} count */
  _summary(count) {
    const { complete, loading, failure } = this.history;
    const shown = tasksIn(count);
    if (complete) return shown;
    if (failure) return `${shown}. Older ones could not be loaded: ${failure}`;
    if (count >= ROOM) return `The newest ${shown}. Narrow the query to see older ones.`;
    if (loading) return `${shown}, looking for older ones …`;
    return `The newest ${shown}, older ones as you scroll.`;
  }

  _nothing() {
    if (this._query.problem) return [this._query.problem];
    if (written(this._query)) return ["No task matches."];
    return ["No tasks yet. Submit one from ", h("a", { href: "#/types" }, "Types"),
      ", or with ", h("code", {}, "quart-tasks submit"), "."]; // prettier-ignore
  }
}
