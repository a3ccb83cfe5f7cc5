// Buttons that copy.

import { h, say } from "./dom.js";

const SHOWN = 1500; // ms

/**
 * A button that copies what `text` gives; `what` is for its name.
 *
 * @param {string} what "the result"
 * @param {() => string} text
 */
export function copyButton(what, text) {
  const button = h("button.copy", { type: "button", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copied(text());
    button.textContent = done ? "Copied" : "Not copied";
    say(done ? `Copied ${what}.` : "The browser did not let the page copy.");
    setTimeout(() => (button.textContent = "Copy"), SHOWN);
  });
  return button;
}

/** @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text); // there is no `clipboard` where the page came by plain http
  }
}

/** @param {string} text */
function copiedByHand(text) {
  const field = h("textarea.unseen", { "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
