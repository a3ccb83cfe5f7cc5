/** @import {Context} from "./main.js" */

import { h } from "./dom.js";

export const title = "Types";

/**
 * @param {HTMLElement} main
 * @param {Context} context
 */
export function open(main, context) {
  main.append(h("h1", {}, title));
  void context;
  return () => {};
}
