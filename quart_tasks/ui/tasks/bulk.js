// Cancel and retry, for the selected tasks or for all that match.

/** @import {List} from "./list.js" */
/** @import {Query} from "../query.js" */
/** @import {Store} from "../store.js" */

import { cancel, confirmed, many, retry, tasksIn } from "../actions.js";
import { get, sentence } from "../api.js";
import { fill, h, say, text } from "../dom.js";
import { number } from "../format.js";
import { fields } from "../query.js";
import { shortId } from "../summary.js";

/** @typedef {"cancel" | "retry"} Action */

const NAMES = { cancel: "Cancel", retry: "Retry" };
const DONE = { cancel: "asked to end", retry: "submitted again" };
const NOTHING = { cancel: "is unfinished", retry: "has ended" };
const REST = { cancel: "they had ended", retry: "their arguments are not kept" };
const MORE = {
  cancel: "Those that have ended are left as they are; descendants of the others end too.",
  retry: "Each is submitted anew, with the same arguments and options. Unfinished ones are left.",
};

/** The buttons above the list, and what came of them. */
export class Bulk {
  /**
   * @param {Store} store
   * @param {() => List} list
   * @param {() => Query} query
   */
  constructor(store, list, query) {
    this._store = store;
    this._list = list;
    this._query = query;
    this._buttons = {
      cancel: h("button", { type: "button", onclick: () => this._run("cancel") }),
      retry: h("button", { type: "button", onclick: () => this._run("retry") }),
    };
    this._clear = h("button", { type: "button", onclick: () => this._list().grid.selection.clear() },
      "Clear selection"); // prettier-ignore
    this._outcome = h("p.outcome");
    this.element = h("div.bulk", {}, this._buttons.cancel, this._buttons.retry, this._clear,
      this._outcome); // prettier-ignore
  }

  /** The selection or the query is another. */
  update() {
    const count = this._list().grid.selection.size;
    const asked = Object.keys(fields(this._query())).length > 0 && !this._query().problem;
    for (const action of /** @type {Action[]} */ (["cancel", "retry"])) {
      const button = this._buttons[action];
      const which = count ? `${number(count)} selected` : "all that match";
      text(button, `${NAMES[action]} ${which}`);
      button.disabled = !count && !asked;
      button.title = button.disabled ? "Narrow the query, or select some, first." : "";
    }
    this._clear.hidden = !count;
  }

  /** One row's button. @param {string} id */
  async one(id) {
    const record = this._store.tasks.get(id);
    if (!record) return;
    const name = `${record.name} ${shortId(id)}`;
    try {
      if (!record.finished_at) {
        await cancel(id);
        this._tell(`${name} was ${DONE.cancel}.`);
      } else {
        const again = await retry(id);
        const link = h("a", { href: `#/tasks/${encodeURIComponent(again.id)}` }, "See it");
        this._tell(`${name} was ${DONE.retry}.`, link);
      }
    } catch (error) {
      this._tell(sentence(error));
    }
  }

  /** @param {Action} action */
  async _run(action) {
    const { selection } = this._list().grid;
    const which = selection.size ? [...selection.ids] : fields(this._query());
    try {
      const [count, least] = await this._count(action);
      if (!count) {
        this._tell(`None of them ${NOTHING[action]}.`);
        return;
      }
      const question = `${NAMES[action]} ${least ? "at least " : ""}${tasksIn(count)}?`;
      const yes = `${NAMES[action]} ${count === 1 && !least ? "it" : "them"}`;
      if ((count > 1 || least) && !(await confirmed(question, MORE[action], yes))) return;
      const done = await many(action, which);
      const rest = count > done ? ` Not ${number(count - done)} others: ${REST[action]}.` : "";
      this._tell(`${tasksIn(done)} ${done === 1 ? "was" : "were"} ${DONE[action]}.${rest}`);
      if (selection.size) selection.clear();
    } catch (error) {
      this._tell(sentence(error));
    }
  }

  /**
   * For how many tasks that will be, and whether it may be more: of those that have ended long
   * ago, only the server knows.
   *
   * @param {Action} action
   * @returns {Promise<[number, boolean]>}
   */
  async _count(action) {
    const { grid, view, history } = this._list();
    const selected = grid.selection.ids;
    const { state, name, q } = this._query();
    if (action === "retry" && !selected.size && !q && !history.complete) {
      const { names } = await get("/stats");
      let count = 0;
      for (const [each, states] of Object.entries(names)) {
        if (name && each !== name) continue;
        for (const ended of ["succeeded", "failed", "cancelled"])
          if (!state || state === ended) count += states[ended];
      }
      return [count, false];
    }
    let count = 0;
    for (const id of selected.size ? selected : view.ids) {
      const record = this._store.tasks.get(id);
      if (record && (action === "retry") === Boolean(record.finished_at)) count += 1;
    }
    return [count, action === "retry" && !selected.size && !history.complete];
  }

  /**
   * @param {string} told
   * @param {Node[]} more
   */
  _tell(told, ...more) {
    fill(this._outcome, told, " ", ...more);
    say(told);
  }
}
