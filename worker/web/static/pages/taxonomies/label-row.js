// One label: its name, prompts and threshold, and what the sample says about it.
import { html } from "../../app/lib.js";
import { compact, count } from "../../app/format.js";
import { isComplete, lines } from "./draft.js";
import { Histogram } from "./histogram.js";
import { Lines } from "./settings.js";
import { Strips } from "./strips.js";

/** @typedef {import("./draft.js").Row} Row */
/**
 * @typedef {object} RowProps
 * @property {Row} row
 * @property {number} depth
 * @property {boolean} active its images are shown
 * @property {any} tried what the trial says about it
 * @property {any} certificate
 * @property {boolean} stale
 * @property {string[]} errors
 * @property {boolean} many whether `not` counts
 * @property {number} usual the taxonomy's threshold
 * @property {() => void} activate
 * @property {(change: Partial<Row>) => void} change
 * @property {(text: string) => void} prompts
 * @property {(value: number | undefined) => void} threshold
 * @property {() => void} remove
 * @property {() => void} addKind
 */

/** @param {RowProps} props */
export function LabelRow(props) {
  const { row, depth, active, tried, errors, change, prompts, activate, remove, stale } = props;
  const name = row.name || "new label";
  const written = lines(row.prompts).length;
  const id = `label-${row.id}`;
  return html`<li class=${`label depth-${Math.min(depth, 4)}${active ? " active" : ""}${errors.length ? " wrong" : ""}`} onFocusIn=${activate}
      tabindex="-1" data-item=${row.id} onKeyDown=${leave}>
    <div class="head">
      <div class="words">
        <input aria-label="Label" placeholder="label" value=${row.name} maxlength="64" aria-invalid=${errors.length > 0} aria-describedby=${`${id}-errors`}
          onInput=${(/** @type {any} */ event) => change({ name: event.target.value })} data-row=${row.id} />
        <textarea aria-label=${`Prompts of ${name}, one a line`} placeholder="one text a line, such as: a photo of a smiling face"
          rows=${Math.min(Math.max(written + (active ? 1 : 0), 1), 12)} value=${row.prompts} spellcheck="true"
          onInput=${(/** @type {any} */ event) => prompts(event.target.value)}></textarea>
      </div>
      <div class=${`result${stale ? " stale" : ""}`} onClick=${activate}>
        <${Result} ...${props} name=${name} />
      </div>
      <button class="quiet remove" aria-label=${`Remove ${name}`} title="Remove this label" onClick=${remove}>×</button>
    </div>
    <div id=${`${id}-errors`} class="errors">${errors.map((each) => html`<p class="error" role="alert">${each}</p>`)}</div>
    ${active && (tried || isComplete(row)) && html`<${Details} ...${props} name=${name} />`}
  </li>`;
}

/** Escape leaves a field: then keys are shortcuts again. @param {KeyboardEvent & {currentTarget: HTMLElement}} event */
function leave(event) {
  if (event.key === "Escape" && event.target !== event.currentTarget) event.currentTarget.focus();
}

/** @param {RowProps & {name: string}} props */
function Result({ row, tried, name, active }) {
  if (!tried) return html`<p class="muted">${isComplete(row) ? "" : "Needs a name and a prompt."}</p>`;
  const { tagged, suggested } = tried;
  const more = suggested.seen ? ` · ${compact(suggested.about)} suggested` : "";
  return html`${!active && html`<${Histogram} label=${name} bins=${tried.histogram} threshold=${shownThreshold(row, tried)} above=${tried.above} />`}
    <p class="counts"><strong>${tagged.low === tagged.high ? count(tagged.about) : `≈ ${count(tagged.about)}`}</strong>
      ${" "}${tagged.about === 1 ? "image" : "images"}<span class="muted">${more}</span></p>`;
}

/** The slider's place at once; the answer follows. @param {Row} row @param {any} tried */
const shownThreshold = (row, tried) => row.fields.threshold ?? tried.threshold;

/** @param {RowProps & {name: string}} props */
function Details({ row, tried, stale, name, usual, threshold, change, many, addKind, certificate }) {
  const value = row.fields.threshold ?? tried?.threshold ?? usual;
  const own = row.fields.threshold !== undefined;
  const other = own && tried && !stale && Math.abs(tried.threshold - row.fields.threshold) > 1e-6;
  const set = (/** @type {any} */ event) => {
    const number = Number(event.target.value);
    if (event.target.value !== "" && number >= 0 && number <= 1) threshold(number);
  };
  return html`<div class=${`details${stale ? " stale" : ""}`}><div>
    ${tried && html`<${Histogram} large label=${name} bins=${tried.histogram} threshold=${value} above=${tried.above} />`}
    <input class="slider" type="range" min="0" max="1" step="0.01" value=${value} aria-label=${`Threshold of ${name}`} onInput=${set} />
    <div class="row">
      <label>Threshold <input type="number" min="0" max="1" step="0.01" value=${Math.round(value * 1e4) / 1e4} onChange=${set} /></label>
      ${own ? html`<button class="quiet" onClick=${() => threshold(undefined)}>Use the taxonomy's</button>` : html`<span class="muted">the taxonomy's</span>`}
      ${tried && html`<span class="muted">${count(tried.above)} of ${count(tried.asked)} at or above it${tried.parent ? `, where ${tried.parent} holds` : ""}; ${count(tried.tagged.seen)} tagged</span>`}
      ${certificate && html`<${Certificate} found=${certificate} />`}
    </div>
    ${other && html`<p class="warn">Reviews proved a threshold of ${tried.threshold}, which counts instead of this one until the label is calibrated anew.</p>`}
    ${many && html`<label class="block">Not: what is easily taken for it, one text a line
      <${Lines} rows="2" texts=${row.fields.not ?? []} change=${(/** @type {string[]} */ texts) => change({ fields: withTexts(row.fields, "not", texts) })} /></label>`}
    <div class="row"><button class="quiet" onClick=${addKind}>Add a kind of ${name}</button></div>
    </div>
    ${tried?.strips && html`<${Strips} strips=${tried.strips} label=${name} />`}
  </div>`;
}

/** @param {Record<string, any>} fields @param {string} name @param {string[]} texts */
function withTexts({ ...fields }, name, texts) {
  delete fields[name];
  return texts.length ? { ...fields, [name]: texts } : fields;
}

/** @param {{found: any}} props */
function Certificate({ found }) {
  if (found.state === "proven" && found.in_force) return html`<span class="chip good">proven: right in ${(100 * found.target).toFixed(0)} % at least (${count(found.reviewed)} reviewed)</span>`;
  if (found.state === "expired") return html`<span class="chip warn" title=${found.reason ?? ""}>certificate expired</span>`;
  return html`<span class="chip">not proven</span>`;
}
