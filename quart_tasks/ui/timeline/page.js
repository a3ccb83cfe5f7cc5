// A lane a slot, and in it a bar for each task that ran there.

/** @import {Context} from "../main.js" */
/** @import {Bar} from "./lanes.js" */

import { h, say, text } from "../dom.js";
import { clock } from "../format.js";
import { Chart } from "./chart.js";
import { TimeTools, Tip, outcome } from "./controls.js";
import { History } from "./history.js";
import { Lanes } from "./lanes.js";
import { TimeWindow, steer } from "./navigation.js";
import { LaneTable } from "./table.js";

export const title = "Timeline";

const KEPT = 60 * 60_000; // ms for which a bar is kept
const SWEEP = 60_000; // ms between two looks for older ones

/** How long to leave to others after a drawing that took so long, ms. @param {number} cost */
const pauseOf = (cost) => Math.max(50, 4 * cost);

/**
 * @param {HTMLElement} main
 * @param {Context} context
 */
export function open(main, { store }) {
  const history = new History(store);
  const now = () => Date.now() + history.skew;
  const change = () => (isDirty = true);
  let isDirty = true;
  let [drawn, cost, told, swept] = [0, 0, -Infinity, 0];
  /** @type {Bar | null} */
  let marked = null;

  const lanes = new Lanes();
  const view = new TimeWindow(now, change);
  const tools = new TimeTools(view, change);
  const canvas = h("canvas", { tabindex: "0", role: "application",
    "aria-label": "Timeline of tasks", "aria-describedby": "timeline-keys" });
  const chart = new Chart(canvas);
  const tip = new Tip();
  const table = new LaneTable(change);
  const note = h("p.note", { role: "status" });
  const nothing = h("p.empty", { hidden: true }, "No task has run in this time. ",
    h("a", { href: "#/types" }, "Submit one"), ".");
  main.append(h("div.page-head", {}, h("h1", {}, title), tools.elements),
    h("div.chart.panel", {}, canvas, tip.element, nothing), note,
    h("p.how", { id: "timeline-keys" }, "Wheel to zoom, drag to move. Keys: arrows go from task ",
      "to task, Enter opens it, + and − zoom, Shift with arrows moves, space pauses, ",
      "End is now."),
    table.element);

  /** @param {Bar | null} bar */
  function mark(bar, keyed = false) {
    if (bar !== marked) change();
    marked = bar;
    if (bar && keyed) say(`${bar.name}, ${outcome(bar, now())}, on ${bar.worker}`);
  }

  function draw() {
    if (lanes.isStale || now() - swept > SWEEP) {
      swept = now();
      lanes.arrange(Math.min(swept - KEPT, view.from));
    }
    chart.draw(lanes, { from: view.from, to: view.to, now: now(), byName: tools.byName, marked });
    nothing.hidden = !chart.isEmpty;
    tip.show(marked, chart, now());
    tools.show(chart);
  }

  /** What need not be told at every drawing. */
  function tell() {
    table.show(chart.rows, view.from, Math.min(view.to, now()));
    const isCut = history.isFull && history.since > view.from;
    const first = isCut ? clock(history.since).slice(0, 8) : "";
    text(note, first && `Tasks submitted before ${first} are too many to be loaded.`);
    void history.reach(view.from);
  }

  let request = requestAnimationFrame(function frame(time) {
    request = requestAnimationFrame(frame);
    // What runs grows, and the view moves on: but less than a pixel is nothing to see.
    const moves = view.isLive && time - drawn > view.span / 1200;
    if (time - drawn >= pauseOf(cost) && (isDirty || moves)) {
      drawn = time;
      isDirty = false;
      draw();
      cost = performance.now() - time;
    }
    if (drawn > told && time - told >= 1000) {
      told = time;
      tell();
    }
  });

  lanes.isStale = true;
  for (const [id, record] of store.tasks) lanes.update(id, record, now());
  const tasks = store.view(() => false, (changed) => {
    change();
    if (changed) for (const id of changed) lanes.update(id, store.tasks.get(id), now());
    else {
      lanes.clear();
      history.reset();
    }
  });

  const restyle = () => {
    chart.restyle();
    change();
  };
  restyle();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", restyle);
  const sizes = new ResizeObserver(change);
  sizes.observe(canvas);
  steer(canvas, chart, view, { mark, marked: () => marked });

  return () => {
    cancelAnimationFrame(request);
    dark.removeEventListener("change", restyle);
    sizes.disconnect();
    history.close();
    store.release(tasks);
  };
}
