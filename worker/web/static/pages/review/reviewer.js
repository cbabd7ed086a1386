// Who reviews: asked once, and kept in this browser.
import { html } from "../../app/lib.js";

const KEY = "enrich.reviewer";

/** The name that was given here before; empty: none. */
export function reviewerNow() {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** @param {{done: (name: string) => void}} props */
export function AskReviewer({ done }) {
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.target).elements.namedItem("reviewer"));
    const name = field.value.trim();
    if (!name) return;
    try {
      localStorage.setItem(KEY, name);
    } catch {
      // It is asked again next time.
    }
    done(name);
  };
  return html`<form class="login card" onSubmit=${submit}>
    <h1>Who is reviewing?</h1>
    <p>Every decision keeps the name of the person who made it. Two reviewers get different images.</p>
    <label>Your name <input name="reviewer" value=${reviewerNow()} maxlength="200" autocomplete="username" autofocus required /></label>
    <button class="primary">Begin</button>
  </form>`;
}
