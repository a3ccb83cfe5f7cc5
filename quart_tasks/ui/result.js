// What a task has returned: JSON, a picture, a text, or bytes to be saved.

/** @import {TaskRecord} from "./shapes.js" */

import { Refused, request, sentence } from "./api.js";
import { fill, h } from "./dom.js";
import { isRough, parse } from "./exact.js";
import { bytes } from "./format.js";
import { folded } from "./json.js";

const AT_ONCE = { json: 256 * 1024, picture: 4 * 1024 * 1024, text: 64 * 1024 }; // bytes, unasked
const LONGEST_TEXT = 1024 * 1024; // characters

const PICTURE = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)$/;
const TEXT = /^(text\/.*|application\/(.*\+)?(json|xml)|application\/javascript)$/;

/**
 * A succeeded task's result. What is not in its record is fetched: at once if it is small.
 */
export class Result {
  constructor() {
    this._body = h("div.body");
    this.element = h("section.panel.result", { "aria-label": "Result", hidden: true },
      h("h2", {}, "Result"), this._body); // prettier-ignore
    this._shown = "";
    this._picture = ""; // its address
    this._closed = false;
  }

  close() {
    this._closed = true;
    URL.revokeObjectURL(this._picture);
  }

  /** @param {TaskRecord} record */
  show(record) {
    const succeeded = record.state === "succeeded";
    this.element.hidden = !succeeded;
    if (!succeeded || this._shown === record.id) return;
    this._shown = record.id;
    const { result, result_type, omitted } = record;
    const type = (result_type ?? "").split(";")[0].trim().toLowerCase();
    const size = record.result_size ?? 0;
    // "null" is 4 bytes; a view's response is kept beside the record, whatever its type.
    const here = type === "application/json" && !omitted.includes("result");
    if (here && (result !== null || size <= 4) && !isRough(result))
      fill(this._body, folded(result, "the result"));
    else this._offer(record, type, size);
  }

  /**
   * @param {TaskRecord} record
   * @param {string} type
   * @param {number} size
   */
  _offer(record, type, size) {
    const about = h("p.quiet", {}, `${type || "no type"}, ${bytes(size)}`);
    const shown = h("div");
    const failed = h("p.problem", { role: "alert" });
    /** @param {(response: Response) => Promise<void>} use */
    const fetched = async (use) => {
      fill(failed);
      try {
        await use(await resultOf(record.id));
      } catch (error) {
        fill(
          failed,
          error instanceof SyntaxError ? "It is not the JSON that it says." : sentence(error),
        );
      }
    };
    const name = `${record.name}-${record.id.slice(0, 13)}${extension(type)}`;
    const download = h("button", { type: "button", onclick: () => fetched((it) => save(it, name)) },
      `Download ${name}`); // prettier-ignore
    const [kind, show] = this._way(type, shown);
    const view = show && h("button", { type: "button", onclick: () => fetched(show) }, "Show");
    // Above what comes later, which would push them away from under the pointer.
    const tools = h("div.tools", {}, about, view, download);
    fill(this._body, tools, failed, shown);
    if (!kind || !show || size > AT_ONCE[kind]) return;
    view?.remove();
    void fetched(show);
  }

  /**
   * How to show a type, if that can be done: never as a document.
   *
   * @param {string} type
   * @param {HTMLElement} shown
   * @returns {[keyof typeof AT_ONCE, (response: Response) => Promise<void>] | [null, null]}
   */
  _way(type, shown) {
    if (type === "application/json")
      return ["json", async (it) => fill(shown, folded(parse(await it.text()), "the result"))];
    if (PICTURE.test(type))
      return ["picture", async (it) => {
        const data = await it.arrayBuffer();
        if (this._closed) return;
        this._picture = URL.createObjectURL(new Blob([data], { type }));
        fill(shown, h("img.picture", { src: this._picture, alt: "The result, a picture" }));
      }]; // prettier-ignore
    if (TEXT.test(type))
      return ["text", async (it) => {
        const text = await it.text();
        fill(shown, h("pre.text", { tabindex: 0 }, text.slice(0, LONGEST_TEXT)),
          text.length > LONGEST_TEXT && h("p.quiet", {}, "The rest is in the download."));
      }]; // prettier-ignore
    return [null, null];
  }
}

/**
 * The answer that has a task's result, whatever its own status: a view's may be any.
 *
 * @param {string} id
 */
async function resultOf(id) {
  const response = await request(`/${id}/result`, { redirect: "manual" });
  if (response.type === "opaqueredirect")
    throw new Refused(problem("It is a redirect: nothing to show."));
  if (response.headers.get("Task-State") === "succeeded") return response;
  throw new Refused(problem("The server does not keep the result any more."));
}

/** @param {string} detail */
const problem = (detail) => ({ title: "", detail, status: 0, type: "" });

/**
 * @param {Response} response
 * @param {string} name
 */
async function save(response, name) {
  // As bytes of no type: a browser that opens the address shows no document of ours.
  const data = new Blob([await response.arrayBuffer()], { type: "application/octet-stream" });
  const address = URL.createObjectURL(data);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** @param {string} type */
function extension(type) {
  const part = type.split("/")[1] ?? "";
  if (!/^[a-z0-9.+-]+$/.test(part) || part === "octet-stream") return ".bin";
  return { plain: ".txt", jpeg: ".jpg", "svg+xml": ".svg", javascript: ".js" }[part] ?? `.${part}`;
}
