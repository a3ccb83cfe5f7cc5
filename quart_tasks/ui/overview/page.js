// How the server is doing: counts, plots of the last five minutes, slots, health.

/** @import {Context} from "../main.js" */
/** @import {Frame, Sample, Stats, StatsData, TaskType} from "../shapes.js" */
/** @import {Series, Shape} from "./plot.js" */

import { get } from "../api.js";
import { fill, h, text } from "../dom.js";
import { duration, number } from "../format.js";
import { Stream } from "../stream.js";
import { Counts, Health, Names, Slots } from "./figures.js";
import { Plot, SPAN } from "./plot.js";
import { Table } from "./table.js";

export const title = "Overview";

/** A whole power of ten of seconds. @param {number} seconds */
function tick(seconds) {
  if (seconds >= 0.999) return `${Math.round(seconds)} s`;
  if (seconds >= 0.000999) return `${Math.round(seconds * 1e3)} ms`;
  return `${Math.round(seconds * 1e6)} µs`;
}

/** @param {(sample: Sample) => [number, number, number] | null} of @returns {Series[]} */
const percentiles = (of) => [
  { label: "p50", style: "solid", of: (sample) => of(sample)?.[0] ?? null },
  { label: "p95", style: "dashed", of: (sample) => of(sample)?.[1] ?? null },
  { label: "p99", style: "dotted", of: (sample) => of(sample)?.[2] ?? null },
];

/** @type {Shape[]} */
const SHAPES = [
  { title: "Throughput", unit: "tasks ended a second", format: number, stacked: true,
    series: [
      { label: "succeeded", style: "fill succeeded", of: (sample) => sample.succeeded },
      { label: "cancelled", style: "fill cancelled", of: (sample) => sample.cancelled },
      { label: "failed ▾", style: "fill failed", of: (sample) => sample.failed, marked: true },
    ] },
  { title: "Waiting time", unit: "from due to started", format: duration, tick, times: true,
    series: percentiles((sample) => sample.wait) },
  { title: "Running time", unit: "of attempts that ended", format: duration, tick, times: true,
    series: percentiles((sample) => sample.run) },
  { title: "Queue depth", unit: "tasks that wait and run", format: number,
    series: [
      { label: "running", style: "solid", of: (sample) => sample.running },
      { label: "queued", style: "dashed", of: (sample) => sample.queued },
      { label: "scheduled", style: "dotted", of: (sample) => sample.scheduled },
    ] },
  { title: "Event loop’s lag", unit: "the longest in each second", format: duration, tick,
    times: true, series: [{ label: "lag", style: "solid", of: (sample) => sample.lag }] },
];

/**
 * @param {HTMLElement} main
 * @param {Context} _context
 */
export function open(main, _context) {
  /** @type {Sample[]} */
  let samples = [];
  /** @type {number[]} */
  let times = [];
  let isEmpty = false;
  const plots = SHAPES.map((shape) => new Plot(shape, (time) => {
    for (const plot of plots) plot.point(time);
  }));
  const [counts, slots, names, table, health] =
    [new Counts(), new Slots(), new Names(), new Table(), new Health()];
  const facts = h("p.uptime");
  const invitation = h("section.panel.invitation", { hidden: true });
  const grid = h(
    "div.plots",
    {},
    plots.map((plot) => plot.element),
    slots.element,
  );
  main.append(h("div.page-head", {}, h("h1", {}, title), health.element, facts), counts.element,
    invitation, grid, names.element, table.element);

  /** @param {Frame[]} frames */
  function take(frames) {
    /** @type {StatsData | null} */
    let data = null;
    for (const frame of frames) {
      if (frame.type !== "stats") continue;
      data = frame.data;
      // The first frame after a pause has five minutes again, most of which are known.
      for (const sample of frame.data.samples) {
        const time = Date.parse(sample.time);
        if (time <= (times.at(-1) ?? 0)) continue;
        samples.push(sample);
        times.push(time);
      }
    }
    if (!data) return;
    const first = times.findIndex((time) => time >= times[times.length - 1] - SPAN);
    samples = samples.slice(Math.max(0, first));
    times = times.slice(Math.max(0, first));
    draw(data);
  }

  /** @param {StatsData} data */
  function draw({ stats, health: reason }) {
    health.show(reason);
    counts.show(stats);
    slots.show(stats);
    names.show(stats);
    table.show(samples);
    for (const plot of plots) plot.show(samples, times);
    text(facts, `Up ${duration(Math.floor(stats.uptime)).replace(".0 s", " s")} · ${
      number(stats.streams)} ${stats.streams === 1 ? "stream" : "streams"}`);
    const nothing = isNew(stats, samples);
    if (nothing !== isEmpty) {
      isEmpty = nothing;
      main.classList.toggle("new", nothing);
      invitation.hidden = !nothing;
      if (nothing) void invite(invitation);
    }
  }

  const stream = new Stream("/ui/stats", take, { resumes: false });
  return () => {
    stream.close();
    for (const plot of plots) plot.close();
  };
}

/** @param {Stats} stats @param {Sample[]} samples */
const isNew = (stats, samples) =>
  Object.values(stats.states).every((count) => count === 0) &&
  samples.every(({ submitted, running, queued }) => !submitted && !running && !queued);

/** @param {HTMLElement} invitation */
async function invite(invitation) {
  /** @type {{types: TaskType[]}} */
  const { types } = await get("/types").catch(() => ({ types: [] }));
  // What draws a picture is the nicest to see first.
  const first = types.find(({ name }) => name === "mandelbrot") ?? types[0];
  fill(invitation, h("h2", {}, "Nothing has run here yet"), first
    ? [h("p", {}, "Submit a first task and watch it run. This server has ",
         types.length === 1 ? "one type of task:" : `${types.length} types of tasks:`),
       h("p.first-types", {},
         h("a.button.primary", { href: `#/types/${encodeURIComponent(first.name)}` },
           `Try ${first.name}`),
         h("a.button", { href: "#/types" }, "See all types"))]
    : h("p", {}, "This server has no task that can be submitted from here. A function under ",
        h("code", {}, "@tasks.task"), " is one: the README shows how."));
}
