// The overview's plots as a table.

/** @import {Sample} from "../shapes.js" */

import { fill, h } from "../dom.js";
import { clock, duration, number } from "../format.js";

const ROW = 10_000; // ms that a row of the table covers

/** What the plots show, in figures; made only while it is open. */
export class Table {
  constructor() {
    this._body = h("tbody");
    const columns = ["Until", "Submitted", "Succeeded", "Failed", "Cancelled", "Queued", "Running",
                     "Wait p50", "Wait p99", "Run p50", "Run p99", "Loop’s lag"];
    this.element = h("details.panel.wide.as-table", { ontoggle: () => this._fill() },
      h("summary", {}, "The plots as a table"),
      h("div.scroll", { tabindex: "0", role: "group", "aria-label": "The plots as a table" },
        h("table.figures", {},
          h("caption", {}, "Ten seconds a row, the newest first. Tasks are counted over these ",
            "seconds, those queued and running at their end; times are of the slowest second."),
          h("thead", {}, h("tr", {}, columns.map((each) => h("th", { scope: "col" }, each)))),
          this._body)));
    /** @type {Sample[]} */
    this._samples = [];
    this._newest = "";
  }

  /** @param {Sample[]} samples */
  show(samples) {
    this._samples = samples;
    this._fill();
  }

  _fill() {
    const rows = this.element.open ? inRows(this._samples) : [];
    if (!rows.length || rows[0].at(-1)?.time === this._newest) return;
    this._newest = rows[0].at(-1)?.time ?? "";
    fill(this._body, rows.map((samples) => h("tr", {}, cells(samples).map((cell, at) =>
      at ? h("td", {}, cell) : h("th", { scope: "row" }, cell)))));
  }
}

/** The newest first; only whole rows. @param {Sample[]} samples */
function inRows(samples) {
  /** @type {Map<number, Sample[]>} */
  const rows = new Map();
  for (const sample of samples) {
    const row = Math.floor(Date.parse(sample.time) / ROW);
    rows.set(row, [...(rows.get(row) ?? []), sample]);
  }
  const found = [...rows.values()];
  return found.slice(0, -1).reverse();
}

/** @param {Sample[]} samples */
function cells(samples) {
  /** @param {(sample: Sample) => number} of */
  const sum = (of) => number(samples.reduce((total, sample) => total + of(sample), 0));
  /** @param {(sample: Sample) => number | undefined} of */
  const worst = (of) => {
    const known = samples.map(of).filter((value) => value !== undefined);
    return known.length ? duration(Math.max(...known)) : "–";
  };
  const last = samples[samples.length - 1];
  return [
    clock(last.time).slice(0, 8), sum((each) => each.submitted), sum((each) => each.succeeded),
    sum((each) => each.failed), sum((each) => each.cancelled), number(last.queued),
    number(last.running), worst((each) => each.wait?.[0]), worst((each) => each.wait?.[2]),
    worst((each) => each.run?.[0]), worst((each) => each.run?.[2]), worst((each) => each.lag),
  ];
}
