// What the whole taxonomy would do to the catalog.
import { html, useState } from "../../app/lib.js";
import { count, plural } from "../../app/format.js";

/** A number of images with its interval, if it is an estimate. @param {any} estimate */
export const interval = (estimate) =>
  estimate.low === estimate.high ? count(estimate.about) : `about ${count(estimate.about)} (${count(estimate.low)}–${count(estimate.high)})`;

const REASONS = /** @type {Record<string, string>} */ ({
  "background-nearer": "the background is nearer",
  "below-neutral-level": "no label stands out from neutral prompts",
  "another-label-nearer": "another label is nearer",
  tie: "two labels are equally near",
  "below-threshold": "the nearest label is below its threshold",
  "margin-too-small": "two labels are too close together",
  unproven: "the label is only suggested",
});

/** @param {{result: any, stale: boolean, busy: boolean, milliseconds: number, sample: number, setSample: (size: number) => void}} props */
export function Summary({ result, stale, busy, milliseconds, sample, setSample }) {
  const [open, setOpen] = useState(false);
  const { sampling, tagged, abstentions, differs } = result;
  const whole = sampling.images >= sampling.total;
  return html`<section class=${`summary${stale ? " stale" : ""}`} aria-label="What it would do">
    <p class="would" role="status">Would tag <strong>${count(tagged.seen)}</strong> of ${count(sampling.images)}
      ${!whole && html`${" "}sampled images, so <strong>${interval(tagged)}</strong> of ${sampling.exact ? "" : "about "}${count(sampling.total)}`}
      ${whole && " images"}</p>
    <p class="row">
      <button class="quiet" aria-expanded=${open} onClick=${() => setOpen(!open)}>${interval(abstentions.abstained)} get none</button>
      ${abstentions.not_asked.seen > 0 && html`<span class="chip">not asked: ${interval(abstentions.not_asked)}</span>`}
      ${result.suggested.seen > 0 && html`<span class="chip">only suggested: ${interval(result.suggested)}</span>`}
      ${differs && html`<span class=${differs.seen ? "chip warn" : "chip good"}>${differs.seen ? `${interval(differs)} differ from now` : "no tag would change"}</span>`}
      ${!result.calibrated && html`<span class="chip" title="It has no numbers for this model, so labels are judged relative to neutral prompts.">unproven for ${result.model}</span>`}
      <label class="muted">Sample <select value=${String(sample)} onChange=${(/** @type {any} */ event) => setSample(Number(event.target.value))}>
        ${[500, 2000, 5000, 10000].map((size) => html`<option value=${String(size)}>${count(size)}</option>`)}</select></label>
      <span class="muted time" aria-hidden="true">${busy ? "trying …" : `${Math.round(milliseconds)} ms`}</span>
    </p>
    ${open && html`<ul class="reasons">${abstentions.reasons.map((/** @type {any} */ each) => html`<li key=${each.reason}>
      ${interval(each.images)}: ${REASONS[each.reason] ?? each.reason}
      <span class="muted"> nearest: ${each.nearest.slice(0, 5).map((/** @type {any} */ near) => `${near.label} ${count(near.images.about)}`).join(", ")}</span></li>`)}
      ${!abstentions.reasons.length && html`<li class="muted">Every image gets a label.</li>`}</ul>`}
    ${result.unlearned.length > 0 && html`<p class="warn">${plural(result.unlearned.length, "label")} without prompts: no image gets ${result.unlearned.length === 1 ? "it" : "them"} before decisions taught ${result.unlearned.join(", ")}.</p>`}
    ${result.unproven.length > 0 && html`<p class="warn">Only suggested until reviews prove their precision: ${result.unproven.join(", ")}.</p>`}
  </section>`;
}
