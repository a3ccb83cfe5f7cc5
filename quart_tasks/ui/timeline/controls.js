// Round the timeline: what is shown, chosen, and what is said of one bar.

/** @import {Chart} from "./chart.js" */
/** @import {Bar} from "./lanes.js" */
/** @import {TimeWindow} from "./navigation.js" */

import { fill, h, set, text } from "../dom.js";
import { clock, duration } from "../format.js";

/** How it went, in words. @param {Bar} bar @param {number} now ms */
export function outcome({ state, start, end }, now) {
  const length = duration(Math.max(0, Math.min(end, now) - start) / 1000);
  return state === "running" ? `running for ${length}` : `${state} after ${length}`;
}

export class Tip {
  constructor() {
    this.element = h("div.tip", { hidden: true, "aria-hidden": "true" });
  }

  /**
   * Stand below a bar, or above it if there is no room; or nowhere.
   *
   * @param {Bar | null} bar
   * @param {Chart} chart
   * @param {number} now ms
   */
  show(bar, chart, now) {
    const row = bar && chart.rowOf(bar);
    this.element.hidden = !row;
    if (!bar || !row) return;
    const retried = bar.attempt > 1 ? ` · attempt ${bar.attempt}` : "";
    fill(this.element, h("b", {}, bar.name),
      h("span", { class: `state ${bar.state}` }, outcome(bar, now)),
      h("span", {}, `${clock(bar.start)} · ${bar.worker}${retried}`), h("code", {}, bar.id));
    const { offsetWidth: wide, offsetHeight: high, style } = this.element;
    const { clientWidth, clientHeight } = chart.canvas;
    const below = row.top + 24;
    style.left = `${Math.max(8, Math.min(chart.x(bar.start), clientWidth - wide - 8))}px`;
    style.top = `${below + high < clientHeight ? below : Math.max(0, row.top - high - 6)}px`;
  }
}

const MINUTES = [1, 5, 15];
const STATES = ["running", "succeeded", "failed", "cancelled"];
const NAMED = 12; // names in the legend

// What the reader chose is kept while the page is open.
const chosen = { span: 5 * 60_000, byName: false };

export class TimeTools {
  /** @param {TimeWindow} view @param {() => void} onChange */
  constructor(view, onChange) {
    this._view = view;
    view.follow(chosen.span);
    this._spans = MINUTES.map((minutes) => h("button", { onclick: () => {
      chosen.span = minutes * 60_000;
      view.follow(chosen.span);
    } }, `${minutes} min`));
    this._pause = h("button", { onclick: () => view.toggle() });
    this._colours = h("select", { id: "colours", onchange: () => {
      chosen.byName = this._colours.value === "name";
      onChange();
    } }, h("option", { value: "state" }, "state"), h("option", { value: "name" }, "name"));
    this._colours.value = chosen.byName ? "name" : "state";
    this._legend = h("ul.legend.wide-legend", { "aria-label": "Colours" });
    this._listed = "";
    this.elements = [
      h("div.tools", { role: "group", "aria-label": "Time that is shown" },
        h("span", {}, "Last"), this._spans),
      h("div.tools", {},
        h("button", { onclick: () => view.zoom(0.5), "aria-label": "Zoom in" }, "+"),
        h("button", { onclick: () => view.zoom(2), "aria-label": "Zoom out" }, "−"), this._pause),
      h("div.tools", {}, h("label", { for: "colours" }, "Colour by"), this._colours),
      this._legend,
    ];
  }

  get byName() {
    return chosen.byName;
  }

  /** @param {Chart} chart */
  show(chart) {
    const { isLive, span } = this._view;
    this._spans.forEach((button, at) =>
      set(button, "aria-pressed", String(isLive && span === MINUTES[at] * 60_000)),
    );
    text(this._pause, isLive ? "Pause" : "Go on");
    /** @type {[string, string][]} */
    const entries = chosen.byName
      ? [...chart.hues].slice(0, NAMED).map(([name, hue]) => [name, `hue n${hue}`])
      : STATES.map((state) => [state, state]);
    if (entries.join() === this._listed) return;
    this._listed = entries.join();
    const rest = chosen.byName ? chart.hues.size - NAMED : 0;
    fill(this._legend, entries.map(([name, kind]) => h("li", { class: kind }, name)),
      rest > 0 && h("li.rest", {}, `and ${rest} more`),
      chosen.byName && h("li.rest", {}, "high: failed, low: cancelled"));
  }
}
