// The shell: the pages' router, the connection, the token.

/** @import {Link} from "./stream.js" */

import { onTokenWanted } from "./api.js";
import { byId, fill, h, set } from "./dom.js";
import * as overview from "./overview/page.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import * as task from "./task/page.js";
import * as tasks from "./tasks/page.js";
import * as timeline from "./timeline/page.js";
import * as types from "./types/page.js";

/**
 * What a page gets: the tasks, the rest of its address (`#/tasks/ID?state=failed` has `ID`) and
 * the query.
 *
 * @typedef {{store: Store, rest: string, query: URLSearchParams}} Context
 */

/**
 * A page fills `main`; what `open` returns is called when it is left. `title` names it.
 *
 * @typedef {{title: string, open: (main: HTMLElement, context: Context) => () => void}} Page
 */

/** @type {{path: string, page: Page, detail?: Page}[]} */
const PAGES = [
  { path: "", page: overview },
  { path: "tasks", page: tasks, detail: task },
  { path: "timeline", page: timeline },
  { path: "types", page: types },
];

const store = new Store();
let close = () => {};
/** @type {Page | null} */
let shown = null;

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, ...others] = path.split("/");
  const rest = decoded(others.join("/"));
  const found = PAGES.find((each) => each.path === first) ?? PAGES[0];
  const page = rest && found.detail ? found.detail : found.page;
  close();
  const main = byId("main");
  fill(main);
  main.className = `page-${page.title.toLowerCase()}`;
  document.title = `${page.title} · ${location.host}`;
  for (const link of document.querySelectorAll("nav a"))
    set(link, "aria-current", link.getAttribute("href") === `#/${found.path}` ? "page" : null);
  if (shown !== null && shown !== page) {
    // As if it were another document: from its top on, for eyes and for keys.
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  shown = page;
  close = page.open(main, { store, rest, query: new URLSearchParams(query) });
}

/** A part of an address, as it is if it is no encoding of anything. @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * @param {Link} link
 * @param {string} why
 */
function onLink(link, why) {
  const names = { connecting: "Connecting", live: "Live", lost: "Offline", paused: "Paused",
                  ended: "Ended", refused: "Refused" }; // prettier-ignore
  const shown = byId("link");
  shown.textContent = names[link];
  shown.className = link;
  const banner = byId("banner");
  if (link === "live") {
    banner.hidden = true;
    dispatchEvent(new Event("live")); // for who could not ask the server
  } else if (link === "refused") fill(banner, `${why} Reload the page to try again.`);
  // Not anew each time that it is tried: a click would lose the button that it began on.
  else if (link === "lost" && !banner.textContent.startsWith(why))
    fill(banner, `${why} What you see is from before; it goes on by itself. `,
         h("button", { onclick: () => stream.retry() }, "Try now")); // prettier-ignore
  if (link === "lost" || link === "refused") banner.hidden = false;
}

/**
 * @param {boolean} wrong
 * @returns {Promise<string>}
 */
function askToken(wrong) {
  return new Promise((resolve) => {
    const field = h("input", { type: "password", autocomplete: "off", required: true,
                               id: "token" }); // prettier-ignore
    const dialog = h("dialog", { "aria-labelledby": "token-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "token-title" }, "This server wants a token"),
        h("p", {}, wrong ? "That was not the one. " : "",
          "It is what the server has as ", h("code", {}, "TASKS_TOKEN"),
          ", and is kept until this tab is closed."),
        h("label", { for: "token" }, "Token"), field,
        h("p.actions", {}, h("button.primary", {}, "Go on")))); // prettier-ignore
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(field.value.trim());
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

for (const { path, page } of PAGES)
  document.querySelector("nav")?.append(h("a", { href: `#/${path}` }, page.title));
onTokenWanted(askToken);
const stream = new Stream("/events", (frames) => store.apply(frames), { tell: onLink });
addEventListener("hashchange", route);
route();
