// The bar below the pictures: what will be recorded, how, by whom, and how to take it back.
import { html, useState } from "../../app/lib.js";
import { Icon } from "../../app/ui.js";
import { useKeys } from "../../app/keys.js";
import { Batches } from "./batches.js";
import { lastBatch, others } from "./cursor.js";

const SIZES = [12, 18, 24, 40, 60];

/** How many of each, the most frequent first. @param {any[]} verdicts @param {(verdict: any) => string} what */
function summary(verdicts, what) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const each of verdicts) found.set(what(each), (found.get(what(each)) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]).map(([name, number]) => `${number} ${name}`).join(" · ");
}

/** @param {any} props */
export function Bar({ work, rules, setRules, plan, verdicts, what, asked, labels, cursor, readOnly, size, resize, reviewer }) {
  const [batches, setBatches] = useState(false);
  useKeys(readOnly ? [] : [{ key: "b", does: "list the last batches", run: () => setBatches(true) }]);
  const digits = others(labels, work.page[cursor.at]?.label ?? "");
  const shown = (/** @type {any} */ event) => resize(Number(event.target.value));
  return html`<footer class="review-bar">
    ${!readOnly && html`<button class="primary" disabled=${!work.page.length} onClick=${cursor.submit}>
      <span>${work.page.length ? summary(verdicts, what) : "Nothing to record"}</span> <kbd>Enter</kbd></button>
    <${Last} work=${work} undo=${cursor.undo} what=${what} list=${() => setBatches(true)} />`}
    ${work.page.length > 0 && html`<div class="review-more"><span class="grow"></span>
    ${!readOnly && html`<span class="review-keys">${digits.map(([name, title], index) => html`<button key=${name} class="quiet" onClick=${() => cursor.decide({ kind: "replace", label: name })}><kbd>${index + 1}</kbd>${title}</button>`)}
      <${More} labels=${labels} digits=${digits} asked=${work.page[cursor.at]?.label} decide=${cursor.decide} />
      <button class="quiet" onClick=${() => cursor.decide({ kind: "none" })}><kbd>n</kbd>none</button><button class="quiet" onClick=${() => cursor.decide({ kind: "unsure" })}><kbd>u</kbd>unsure</button></span>
    <select aria-label="What a mark means" value=${rules.mode} onChange=${(/** @type {any} */ event) => setRules({ ...rules, mode: event.target.value })}>
      <option value="not">mark what is ${asked ? `not ${asked}` : "wrong"}</option><option value="only">mark what is ${asked || "right"}</option></select>
    ${!plan && html`<label class="small"><input type="checkbox" checked=${rules.rejects} onChange=${(/** @type {any} */ event) => setRules({ ...rules, rejects: event.target.checked })} />record the others as ${asked ? `not ${asked}` : "wrong"}</label>`}`}
    <select aria-label="Pictures on a page" title="Pictures on a page" value=${size} onChange=${shown}>${[...new Set([...SIZES, size])].sort((a, b) => a - b).map((each) => html`<option value=${each}>${each}</option>`)}</select></div>`}
    ${batches && html`<${Batches} reviewer=${reviewer} work=${work} close=${() => setBatches(false)} />`}
  </footer>`;
}

/** Labels for which there is no digit. @param {any} props */
function More({ labels, digits, asked, decide }) {
  const rest = labels.filter((/** @type {[string, string]} */ each) => each[0] !== asked && !digits.includes(each));
  if (!rest.length) return null;
  const chosen = (/** @type {any} */ event) => {
    decide({ kind: "replace", label: event.target.value });
    event.target.value = "";
    event.target.blur();
  };
  return html`<select aria-label="Another label" onChange=${chosen}><option value="">${rest.length} more …</option>${rest.map(
    (/** @type {[string, string]} */ [name, title]) => html`<option value=${name}>${title}</option>`,
  )}</select>`;
}

/** The last batch, in view without covering a picture. @param {any} props */
function Last({ work, undo, what, list }) {
  const last = lastBatch(work);
  const earlier = html`<button class="quiet batches" onClick=${list}>Batches</button>`;
  if (!last) return earlier;
  const saving = last.state !== "stored";
  const said = summary(last.decisions.map((/** @type {any} */ each) => ({ kind: each.verdict, label: each.label })), what);
  return html`<span class="last" role="status">${saving ? (last.error ? "Kept: " : "Saving: ") : "Recorded: "}${said}</span>
    <button class="undo" onClick=${undo}><${Icon} name="undo" />Undo <kbd>z</kbd></button>${earlier}`;
}
