// What a taxonomy says beside its labels.
import { html, useState } from "../../app/lib.js";
import { lines } from "./draft.js";

/** @typedef {import("./draft.js").Draft} Draft */

/** Kept as the file has them; edited there. @type {Record<string, string>} */
const KEPT = { when: "a condition on other taxonomies", models: "numbers and words for single models", translations: "translations", aggregate: "how prompts are combined", temperature: "a temperature" };

/** @param {{draft: Draft, set: (name: string, value: any) => void, errors: Map<string, string[]>, isNew: boolean, open: boolean}} props */
export function Settings({ draft, set, errors, isNew, open }) {
  const { fields } = draft;
  const input = (/** @type {string} */ name) => (/** @type {any} */ event) => set(name, event.target.value);
  const texts = (/** @type {string} */ name) => (/** @type {string[]} */ all) => set(name, all);
  const number = (/** @type {string} */ name) => (/** @type {any} */ event) => set(name, event.target.value === "" ? undefined : Number(event.target.value));
  const kept = Object.keys(KEPT).filter((name) => fields[name] !== undefined);
  const wrong = [...errors.keys()].some((name) => name !== "name" && name !== "labels");
  return html`<div class="settings">
    <${Field} name="name" errors=${errors} label="Name" hint=${isNew ? "lower-case words with hyphens, such as: time-of-day" : ""}>
      <input value=${fields.name ?? ""} readonly=${!isNew} maxlength="64" required placeholder="time-of-day" onInput=${input("name")} aria-invalid=${errors.has("name")} /></${Field}>
    <details open=${open || wrong}>
      <summary>More: title, mode, background, templates, thresholds</summary>
      <div class="fields">
        <${Field} name="title" errors=${errors} label="Title"><input value=${fields.title ?? ""} maxlength="200" onInput=${input("title")} /></${Field}>
        <${Field} name="mode" errors=${errors} label="An image gets"><select value=${fields.mode ?? "exclusive"} onChange=${(/** @type {any} */ event) => set("mode", event.target.value === "exclusive" ? undefined : event.target.value)}>
          <option value="exclusive">one of the labels at most</option><option value="multi-label">any number of them</option></select></${Field}>
        <${Field} name="description" errors=${errors} label="Description"><textarea rows="2" value=${fields.description ?? ""} onInput=${input("description")}></textarea></${Field}>
        <${Field} name="background" errors=${errors} label="Background" hint="texts of images that none of the labels fits, one a line"><${Lines} rows="3" texts=${fields.background ?? []} change=${texts("background")} /></${Field}>
        <${Field} name="templates" errors=${errors} label="Templates" hint="sentences with {} for each prompt, one a line"><${Lines} rows="2" placeholder="{}" texts=${fields.templates ?? []} change=${texts("templates")} /></${Field}>
        <${Field} name="threshold" errors=${errors} label="Threshold" hint="of labels without one of their own"><input type="number" min="0" max="1" step="0.01" placeholder="0.5" value=${fields.threshold ?? ""} onChange=${number("threshold")} /></${Field}>
        <${Field} name="margin" errors=${errors} label="Margin" hint="least lead over the runner-up"><input type="number" min="0" max="1" step="0.01" placeholder="0" value=${fields.margin ?? ""} onChange=${number("margin")} /></${Field}>
        <${Field} name="target_precision" errors=${errors} label="Precision asked for" hint="labels are only suggested until reviews prove it"><input type="number" min="0.5" max="0.999" step="0.001" placeholder="none" value=${fields.target_precision ?? ""} onChange=${number("target_precision")} /></${Field}>
      </div>
      ${kept.length > 0 && html`<p class="muted">The file also has ${kept.map((name) => KEPT[name]).join(", ")}: kept as ${kept.length === 1 ? "it is" : "they are"}.</p>`}
      ${[...errors].filter(([name]) => KEPT[name]).map(([name, all]) => html`<p class="error" role="alert">${KEPT[name]}: ${all.join("; ")}</p>`)}
    </details>
  </div>`;
}

/**
 * Texts, one a line. What is typed stays as typed, also an empty line that goes on.
 * @param {{texts: string[], change: (texts: string[]) => void, rows: string, placeholder?: string}} props
 */
export function Lines({ texts, change, rows, placeholder = "" }) {
  const [typed, setTyped] = useState("");
  const value = lines(typed).join("\n") === texts.join("\n") ? typed : texts.join("\n");
  return html`<textarea rows=${rows} placeholder=${placeholder} value=${value}
    onInput=${(/** @type {any} */ event) => (setTyped(event.target.value), change(lines(event.target.value)))}></textarea>`;
}

/** @param {{name: string, label: string, hint?: string, errors: Map<string, string[]>, children?: any}} props */
function Field({ name, label, hint = "", errors, children }) {
  return html`<label class="field"><span>${label}</span>${children}
    ${hint && html`<span class="muted small">${hint}</span>`}
    ${(errors.get(name) ?? []).map((each) => html`<span class="error" role="alert">${each}</span>`)}</label>`;
}
