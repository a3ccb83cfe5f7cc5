// The timeline as a table: how busy each lane was.

/** @import {Row} from "./chart.js" */
/** @import {Lane} from "./lanes.js" */

import { fill, h, text } from "../dom.js";
import { number } from "../format.js";

export class LaneTable {
  /** @param {() => void} onOpen */
  constructor(onOpen) {
    this._body = h("tbody");
    this.element = h("details.panel.as-table", { ontoggle: onOpen },
      h("summary", {}, "The lanes as a table"),
      h("table.figures", {},
        h("caption", {}, "Over the time that is shown."),
        h("thead", {}, h("tr", {}, ["Lane", "Busy", "Tasks", "Failed", "Cancelled"].map((each) =>
          h("th", { scope: "col" }, each)))),
        this._body));
  }

  /**
   * @param {Row[]} rows
   * @param {number} from ms
   * @param {number} to ms
   */
  show(rows, from, to) {
    if (!this.element.open) return;
    if (rows.length !== this._body.rows.length)
      fill(this._body, rows.map(() => h("tr", {}, h("th", { scope: "row" }),
        [1, 2, 3, 4].map(() => h("td")))));
    rows.forEach((row, at) => {
      const lanes = "crowd" in row ? row.crowd : [row.lane];
      const label = "crowd" in row ? `${lanes.length} more` : row.lane.label;
      const { share, tasks, failed, cancelled } = use(lanes, from, to);
      const figures = [tasks, failed, cancelled].map(number);
      // In place: a screen reader may be reading it.
      [label, `${Math.round(share * 100)} %`, ...figures].forEach((words, column) =>
        text(this._body.rows[at].cells[column], words));
    });
  }
}

/** @param {Lane[]} lanes @param {number} from @param {number} to */
function use(lanes, from, to) {
  let [busy, tasks, failed, cancelled] = [0, 0, 0, 0];
  for (const lane of lanes)
    for (let at = lane.from(from); at < lane.bars.length; at += 1) {
      const { start, end, state } = lane.bars[at];
      if (start > to) break;
      busy += Math.max(0, Math.min(end, to) - Math.max(start, from));
      tasks += 1;
      if (state === "failed") failed += 1;
      else if (state === "cancelled") cancelled += 1;
    }
  return { share: busy / (to - from) / lanes.length, tasks, failed, cancelled };
}
