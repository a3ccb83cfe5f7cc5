// What the timeline says of one bar.

/** @import {Bar} from "./lanes.js" */
/** @import {Gantt} from "./gantt.js" */

import { fill, h } from "./dom.js";
import { clock, duration } from "./format.js";

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
   * Stand below a bar, or nowhere.
   *
   * @param {Bar | null} bar
   * @param {Gantt} gantt
   * @param {number} now ms
   */
  show(bar, gantt, now) {
    const row = bar && gantt.rowOf(bar);
    this.element.hidden = !row;
    if (!bar || !row) return;
    const retried = bar.attempt > 1 ? ` · attempt ${bar.attempt}` : "";
    fill(this.element, h("b", {}, bar.name),
      h("span", { class: `state ${bar.state}` }, outcome(bar, now)),
      h("span", {}, `${clock(bar.start)} · ${bar.worker}${retried}`), h("code", {}, bar.id));
    const most = gantt.canvas.clientWidth - this.element.offsetWidth - 8;
    this.element.style.left = `${Math.max(8, Math.min(gantt.x(bar.start), most))}px`;
    this.element.style.top = `${row.top + 24}px`;
  }
}
