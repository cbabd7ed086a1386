// Single-key shortcuts: only while nothing is being typed, and all of them are listed under "?".
import { html, useLayoutEffect, useState } from "./lib.js";
import { Dialog } from "./ui.js";

/** @typedef {{key: string, does: string, run: (event: KeyboardEvent) => void, hidden?: boolean}} Shortcut
 * `key` is an `event.key` ("a", "ArrowLeft", "Enter"), with "Shift+" or "Ctrl+" before it, or two after one another: "g 1". */

/** @type {Set<{current: Shortcut[]}>} */
const active = new Set();
let first = "";

/** Shortcuts while the component is shown. The last one that asked for a key gets it. @param {Shortcut[]} shortcuts */
export function useKeys(shortcuts) {
  const [holder] = useState(() => ({ current: shortcuts }));
  holder.current = shortcuts;
  useLayoutEffect(() => {
    active.add(holder);
    return () => void active.delete(holder);
  }, []);
}

/** Whether keys are text where the focus is. @param {EventTarget | null} target */
function typing(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type);
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.altKey || typing(event.target)) return;
  const open = document.querySelector("dialog[open]");
  if (open && (event.key === "Escape" || !open.contains(/** @type {Node} */ (event.target)))) return;
  const onControl = event.target instanceof HTMLElement && event.target.matches("button, a[href], summary");
  if (onControl && (event.key === "Enter" || event.key === " ")) return;
  const name = `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey && event.key.length > 1 ? "Shift+" : ""}${event.key}`;
  const sequence = first ? `${first} ${name}` : name;
  const all = [...active].reverse().flatMap((holder) => holder.current);
  const found = all.find((each) => each.key === sequence) ?? all.find((each) => each.key === name);
  first = "";
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if (all.some((each) => each.key.startsWith(`${name} `))) {
    first = name;
    setTimeout(() => (first = ""), 1500);
  }
});

/** The list of shortcuts, under "?". */
export function KeyHelp() {
  const [shown, setShown] = useState(false);
  useKeys([{ key: "?", does: "show this list", run: () => setShown(true) }]);
  if (!shown) return null;
  const seen = new Set();
  const all = [...active].reverse().flatMap((holder) => holder.current);
  const listed = all.filter((each) => !each.hidden && !seen.has(each.key) && seen.add(each.key));
  return html`<${Dialog} title="Keys" close=${() => setShown(false)}>
    <dl class="keys">${listed.map((each) => html`<div><dt><kbd>${each.key}</kbd></dt><dd>${each.does}</dd></div>`)}</dl>
  </${Dialog}>`;
}
