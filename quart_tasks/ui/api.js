// Requests to the server that has sent the page.

/** @import {Problem} from "./shapes.js" */

// The page is `…/tasks/ui`, whatever a proxy has put before it.
export const ROOT = new URL(".", location.href).pathname.replace(/\/$/, "");

const KEPT = "quart_tasks.token";

/** Whether this server wants a token, as far as is known. */
export const hasToken = () => sessionStorage.getItem(KEPT) !== null;

/** What the server said instead of an answer; the message is a sentence. */
export class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.status = problem.status;
    this.errors = problem.errors ?? [];
  }
}

/**
 * What to tell of a request that has failed: what the server said, or that it is not there.
 *
 * @param {unknown} error
 */
export function sentence(error) {
  if (error instanceof Refused) return error.message;
  if (error instanceof TypeError) return "The server cannot be reached. Is it running?";
  throw error;
}

/** @type {((wrong: boolean) => Promise<string>) | null} */
let askToken = null;
/** @type {Promise<string> | null} */
let asked = null;

/**
 * Have `ask` give the token when the server wants one; it is told if the last one was wrong.
 *
 * @param {(wrong: boolean) => Promise<string>} ask
 */
export function onTokenWanted(ask) {
  askToken = ask;
}

/**
 * `fetch` below the tasks' prefix, with the token if there is one; asks for it after a 401.
 *
 * @param {string} path such as `/stats`
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export async function request(path, init = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEPT);
    const headers = new Headers(init.headers);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(ROOT + path, { ...init, headers });
    if (response.status !== 401 || !askToken) return response;
    if (token === sessionStorage.getItem(KEPT)) {
      // However many requests were refused, one question is asked.
      asked ??= askToken(token !== null).finally(() => (asked = null));
      sessionStorage.setItem(KEPT, await asked);
    }
  }
}

/**
 * The JSON that a request is answered with. Throws Refused, or a TypeError without a server.
 *
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {{[name: string]: string}} [headers]
 * @returns {Promise<any>}
 */
export async function ask(method, path, body, headers = {}) {
  /** @type {RequestInit} */
  const init = { method, headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json", ...init.headers };
  }
  const response = await request(path, init);
  if (!response.ok) throw new Refused(await problem(response));
  return response.status === 204 ? null : response.json();
}

/** @param {string} path */
export const get = (path) => ask("GET", path);

/**
 * @param {string} path
 * @param {any} [body]
 * @param {{[name: string]: string}} [headers]
 */
export const post = (path, body, headers) => ask("POST", path, body, headers);

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problem(response) {
  try {
    return await response.json();
  } catch {
    return { title: `The server answered ${response.status}.`, status: response.status, type: "" };
  }
}
