// The page of one task.

/** @import {Context} from "../main.js" */
/** @import {TaskRecord} from "../shapes.js" */

import { get, hasToken, sentence } from "../api.js";
import { fill, h, text } from "../dom.js";
import { Result } from "../result.js";
import { Children } from "./children.js";
import { Commands, lines } from "./commands.js";
import { Feed } from "./feed.js";
import { Head } from "./head.js";
import { Life } from "./life.js";
import { Lines, logLine, outputLine } from "./lines.js";
import { Arguments, Failure } from "./panels.js";

export const title = "Task";

/**
 * @param {HTMLElement} main
 * @param {Context} context
 */
export function open(main, { store, rest: id }) {
  const [head, life, failure, result, commands] = [
    new Head(store, id),
    new Life(),
    new Failure(),
    new Result(),
    new Commands(),
  ];
  const given = new Arguments(() => feed.record && showCommands(feed.record));
  const [outputs, logs] = [new Lines("Output", outputLine), new Lines("Log", logLine)];
  const count = h("p.quiet");
  const below = h("section.panel", { "aria-label": "Children", hidden: true });
  const children = new Children(store, id, () => {
    below.hidden = !children.count;
    text(count, children.summary());
  });
  below.append(h("div.title", {}, h("h2", {}, "Children"), count), children.element);
  const told = h("p.told", { role: "status" }, "Loading …");
  const parts = h("div.parts", { hidden: true },
    h("div.column", {}, failure.element, result.element, given.element, outputs.element, logs.element,
      below),
    h("div.column", {}, life.element, head.facts, commands.element)); // prettier-ignore
  main.append(head.element, told, parts);

  /** @type {Set<string> | null} */
  let types = null; // that can be submitted by their names
  let [known, gone] = [false, false];

  /** @param {TaskRecord} record */
  function changed(record) {
    if (!known) {
      known = true;
      parts.hidden = false;
      fill(told);
      given.show(record);
    }
    head.show(record);
    life.show(record, feed.attempts);
    failure.show(record);
    result.show(record);
    showCommands(record);
  }

  /** @param {TaskRecord} record */
  function showCommands(record) {
    commands.show(
      lines({ ...record, ...given.whole }, types?.has(record.name) ?? true, hasToken()),
    );
  }

  const feed = new Feed(store, id, {
    changed,
    begin: (all) => {
      outputs.clear();
      if (all) logs.clear();
    },
    came: (values, messages) => {
      outputs.add(values);
      logs.add(messages);
    },
    told: (sentence) => fill(told, sentence),
    gone: (sentence) => {
      gone = true;
      head.gone();
      fill(told, `${sentence} `, h("a", { href: "#/tasks" }, "See all tasks"));
    },
  });
  get("/types").then(
    (answer) => {
      types = new Set(answer.types.map((/** @type {{name: string}} */ each) => each.name));
      if (feed.record) showCommands(feed.record);
    },
    sentence, // then the lines are those of a task that can be submitted
  );
  const timer = setInterval(() => {
    if (feed.record && !feed.record.finished_at && !gone) life.show(feed.record, feed.attempts);
  }, 1000);
  return () => {
    clearInterval(timer);
    for (const each of [feed, children, result, head]) each.close();
  };
}
