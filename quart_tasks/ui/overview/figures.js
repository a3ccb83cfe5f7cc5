// The overview's figures beside its plots: health, counts, slots, names.

/** @import {Stats} from "../shapes.js" */

import { fill, h, set, text } from "../dom.js";
import { number } from "../format.js";
import { STATES, written } from "../query.js";

/** The tasks' page, of these alone. @param {{state?: string, name?: string}} fields */
const listOf = ({ state = "", name = "" }) =>
  `#/tasks?q=${encodeURIComponent(written({ state, name, q: "", problem: "" }))}`;

/** How many tasks there are in each state. */
export class Counts {
  constructor() {
    /** @type {Map<string, HTMLElement>} */
    this._shown = new Map();
    this.element = h(
      "ul.counts",
      { "aria-label": "Tasks by state" },
      STATES.map((state) => {
        const shown = h("b", {}, "–");
        this._shown.set(state, shown);
        return h("li", {}, h("a.panel", { href: listOf({ state }) },
        shown, h("span", { class: `state ${state}` }, state)));
      }),
    );
  }

  /** @param {Stats} stats */
  show(stats) {
    for (const [state, shown] of this._shown) text(shown, number(stats.states[state] ?? 0));
  }
}

/** How many slots of each executor are taken. */
export class Slots {
  constructor() {
    this._rows = h("dl.slots");
    this.element = h("section.panel", { "aria-labelledby": "slots-title" },
      h("h2", { id: "slots-title" }, "Slots ", h("small", {}, "running of all")),
      this._rows);
    /** @type {Map<string, {bar: HTMLElement, inner: HTMLElement, words: HTMLElement}>} */
    this._shown = new Map();
  }

  /** @param {Stats} stats */
  show(stats) {
    for (const [name, { slots, running, queued, abandoned }] of Object.entries(stats.executors)) {
      const row = this._shown.get(name) ?? this._add(name);
      row.inner.style.width = `${slots ? Math.min(100, (100 * running) / slots) : 0}%`;
      row.bar.classList.toggle("full", running >= slots);
      // Few slots can be told apart.
      row.bar.style.setProperty("--slot", slots <= 32 ? `${100 / slots}%` : "100%");
      const words = [`${number(running)} of ${number(slots)}`, `${number(queued)} queued`];
      if (abandoned) words.push(`${number(abandoned)} abandoned`);
      text(row.words, words.join(" · "));
    }
  }

  /** @param {string} name */
  _add(name) {
    const inner = h("div");
    const row = {
      inner,
      bar: h("div.slot-bar", { "aria-hidden": "true" }, inner),
      words: h("span"),
    };
    this._shown.set(name, row);
    this._rows.append(h("div", {}, h("dt", {}, name), h("dd", {}, row.bar, row.words)));
    return row;
  }
}

/** Counts by name and state, each a link to the tasks that it counts. */
export class Names {
  constructor() {
    this._body = h("tbody");
    this.element = h("section.panel.wide", { "aria-labelledby": "names-title" },
      h("h2", { id: "names-title" }, "By name"),
      h("div.scroll", { tabindex: "0", role: "group", "aria-labelledby": "names-title" },
        h("table.figures", {},
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name"),
            STATES.map((state) => h("th", { scope: "col" },
              h("span", { class: `state ${state}` }, state))))),
          this._body)));
    /** @type {Map<string, {row: HTMLElement, links: HTMLElement[]}>} */
    this._shown = new Map();
  }

  /** @param {Stats} stats */
  show(stats) {
    const names = Object.keys(stats.names).sort((one, other) => one.localeCompare(other));
    this.element.hidden = !names.length;
    if (names.join("\n") !== [...this._shown.keys()].join("\n")) this._list(names);
    for (const name of names) {
      const counts = stats.names[name];
      this._shown.get(name)?.links.forEach((link, at) => {
        const count = counts[STATES[at]] ?? 0;
        text(link, number(count));
        link.classList.toggle("none", !count);
      });
    }
  }

  /** @param {string[]} names */
  _list(names) {
    const before = this._shown;
    this._shown = new Map(names.map((name) => [name, before.get(name) ?? this._row(name)]));
    fill(
      this._body,
      [...this._shown.values()].map(({ row }) => row),
    );
  }

  /** @param {string} name */
  _row(name) {
    const links = STATES.map((state) =>
      h("a", { href: listOf({ name, state }),
               "aria-description": `${name}, ${state}` }));
    const row = h("tr", {},
      h("th", { scope: "row" }, h("a", { href: listOf({ name }) }, name)),
      links.map((link) => h("td", {}, link)));
    return { row, links };
  }
}

/** The server's health, as a sentence. */
export class Health {
  constructor() {
    this._mark = h("span.health-mark", { "aria-hidden": "true" });
    this._sentence = h("span", {}, "Asking the server how it is …");
    this.element = h("p.health", { role: "status" }, this._mark, this._sentence);
  }

  /** @param {string | null} health */
  show(health) {
    text(this._mark, health === null ? "✓" : "!");
    set(this.element, "class", `health ${health === null ? "well" : "unwell"}`);
    text(this._sentence, health === null ? "The server is well: it takes tasks and runs them."
      : `The server is not well: ${health}${/[.!?]$/.test(health) ? "" : "."}`);
  }
}
