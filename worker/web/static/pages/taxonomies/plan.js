// What a change would do to stored tags, with pictures, and the button that makes it.
import { api } from "../../app/api.js";
import { count, plural } from "../../app/format.js";
import { html, useEffect, useMemo, useRef, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { Confirm, Empty, ErrorBox, Loading, Thumb, toast } from "../../app/ui.js";
import { interval } from "./summary.js";

const EDITS = /** @type {Record<string, string>} */ ({
  same: "unchanged", added: "new", changed: "changed", removed: "removed", words: "only texts for people", moved: "another owner",
});
/** When this tab applied a change: stored tags begin to follow a moment later. */
export const lastApplied = { at: 0 };
/** Changes shown at first: the rarest of a taxonomy with many labels are no news. */
const MOST = 30;

/**
 * @param {{change: Record<string, any>, title: string, action?: string, danger?: boolean, done: (revision: any) => void, back: () => void,
 *   refused?: (error: any) => any}} props
 * `change` as `POST /v1/taxonomy-changes/plan` takes it; `refused` may show an error elsewhere; it returns what is to be shown here
 */
export function Plan({ change, title, action = "Apply", danger = false, done, back, refused = (error) => error }) {
  const { value, error, again } = useLoaded(JSON.stringify(change), (signal) => api.post("/v1/taxonomy-changes/plan", change, signal));
  const [asking, setAsking] = useState(false);
  const apply = async () => {
    const made = await api.post("/v1/taxonomy-changes/apply", { ...change, planned: value.revision ?? 0 });
    lastApplied.at = Date.now();
    toast(`Revision ${made.id} is in force. Stored tags follow now.`);
    done(made);
  };
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => heading.current?.focus(), []);
  const left = useMemo(() => error && refused(error), [error]);
  return html`<section class="plan" aria-label="Plan">
    <div class="row"><h1 class="grow" tabindex="-1" ref=${heading}>${title}</h1><button onClick=${back}>Back</button>
      ${value && !value.is_empty && html`<button class=${danger ? "danger" : "primary"} onClick=${() => setAsking(true)}>${action} …</button>`}</div>
    ${left && html`<${ErrorBox} error=${left} retry=${again} />`}
    ${!value && !error && html`<${Loading} what="the plan: stored vectors are scored" />`}
    ${value && html`<${Found} plan=${value} />`}
    ${asking && html`<${Confirm} title=${`${action}?`} action=${action} danger=${danger} run=${apply} close=${() => setAsking(false)}>
      <p><strong>${interval(value.changed)}</strong> ${value.changed.about === 1 ? "image gains or loses" : "images gain or lose"} a label.</p>
      ${value.hidden.seen > 0 && html`<p>On ${interval(value.hidden)} more a person's decision hides the change.</p>`}
      <p>${interval(value.touched)} ${value.touched.about === 1 ? "image is" : "images are"} rewritten. History has the way back.</p>
      <p class="muted">If another revision comes into force before, nothing is changed.</p>
    </${Confirm}>`}
  </section>`;
}

/** @param {{plan: any}} props */
function Found({ plan }) {
  const edited = plan.taxonomies.filter((/** @type {any} */ each) => each.edit.edit !== "same" || each.changes.length || each.hidden.seen);
  if (plan.is_empty) return html`<${Empty} title="Nothing to change"><p>This is in force already, and all tags follow it.</p></${Empty}>`;
  const { sampling } = plan;
  return html`<p class="would"><strong>${interval(plan.changed)}</strong> ${plan.changed.about === 1 ? "image gains or loses" : "images gain or lose"} a label.
      ${plan.hidden.seen > 0 && ` On ${interval(plan.hidden)} more a person's decision hides the change.`}</p>
    <p class="muted">${sampling.total === 0 ? "No image had to be examined." : sampling.images >= sampling.total ? `All ${plural(sampling.total, "image")} were examined.` : `${count(sampling.images)} random images of ${count(sampling.total)} were examined: numbers are estimates with 95 % intervals.`}
      ${plan.unfinished && plan.revision ? ` Revision ${plan.revision} has not been fully applied yet.` : ""}</p>
    ${edited.map((/** @type {any} */ each) => html`<${Taxonomy} key=${each.edit.name} plan=${each} />`)}
    ${plan.kept.length > 0 && html`<p class="muted">Stays in force: ${plan.kept.map((/** @type {any} */ each) => each.name).join(", ")}.</p>`}`;
}

/** @param {{plan: any}} props */
function Taxonomy({ plan }) {
  const [all, setAll] = useState(false);
  const { edit } = plan;
  const shown = all ? plan.changes : plan.changes.slice(0, MOST);
  return html`<section class="card">
    <h2>${edit.name} <span class=${`chip ${edit.edit === "removed" ? "bad" : edit.edit === "added" ? "good" : "warn"}`}>${EDITS[edit.edit]}</span></h2>
    ${edit.edits.length > 0 && html`<details><summary>${plural(edit.edits.length, "difference")} in the definition</summary>
      <ul class="edits">${edit.edits.map((/** @type {string} */ line) => html`<li><code>${line}</code></li>`)}</ul></details>`}
    ${edit.unproven.length > 0 && html`<p class="warn">Only suggested until reviews prove their precision: ${edit.unproven.join(", ")}.</p>`}
    ${edit.unlearned.length > 0 && html`<p class="warn">Not recognised until decisions taught them: ${edit.unlearned.join(", ")}.</p>`}
    ${plan.labels.length > 0 && html`<${Labels} plan=${plan} />`}
    ${plan.hidden.seen > 0 && html`<p class="muted">On ${interval(plan.hidden)} images a person's decision hides a change.</p>`}
    ${shown.map((/** @type {any} */ each) => html`<${Change} key=${`${each.kind} ${each.before} ${each.after}`} change=${each} />`)}
    ${plan.changes.length > shown.length && html`<button onClick=${() => setAll(true)}>Show ${count(plan.changes.length - shown.length)} rarer changes</button>`}
    ${!plan.changes.length && html`<p class="muted">No image gains or loses one of its labels.</p>`}
  </section>`;
}

/** @param {{plan: any}} props */
function Labels({ plan }) {
  const rows = [...plan.labels].sort((a, b) => b.before.about + b.after.about - a.before.about - a.after.about);
  const cell = (/** @type {any} */ estimate) => html`<td class="number" title=${interval(estimate)}>${count(estimate.about)}</td>`;
  return html`<div class="scroll-x" tabindex="0" role="region" aria-label=${`Labels of ${plan.edit.name}`}><table>
    <thead><tr><th scope="col">label</th><th scope="col" class="number">now</th><th scope="col" class="number">then</th><th scope="col" class="number">gained</th><th scope="col" class="number">lost</th></tr></thead>
    <tbody>${rows.map((each) => html`<tr key=${each.label}><th scope="row">${each.label}</th>${cell(each.before)}${cell(each.after)}
      <td class="number good">${gain(each.added.about + each.flipped_here.about, "+")}</td>
      <td class="number bad">${gain(each.removed.about + each.abstained.about + each.flipped_away.about, "−")}</td></tr>`)}
      <tr><th scope="row" class="muted">none of these</th>${cell(plan.abstentions_before)}${cell(plan.abstentions_after)}<td></td><td></td></tr></tbody>
  </table></div>`;
}

/** @param {number} images @param {string} sign */
const gain = (images, sign) => (images ? `${sign}${count(images)}` : "");

/** From one label to another, with examples. @param {{change: any}} props */
function Change({ change }) {
  const from = change.before ?? "no label";
  const to = change.after ?? (change.kind === "abstained" ? "none of these" : "no label");
  return html`<div class=${`change ${change.kind}`}>
    <h3><span class=${change.before ? "" : "muted"}>${from}</span> → <span class=${change.after ? "" : "muted"}>${to}</span>
      <span class="muted"> ${interval(change.images)} ${change.images.about === 1 ? "image" : "images"}</span></h3>
    <ul class="shots">${change.samples.map((/** @type {any} */ image) => html`<li key=${image.ref}>
      <a href=${link("image", { bucket: image.bucket, key: image.key })} title=${image.ref}><${Thumb} image=${image} alt=${image.ref} /><span>${image.probability.toFixed(2)}</span></a></li>`)}</ul>
  </div>`;
}

/** Why changes are not offered. */
export function ReadOnly() {
  return useMay("admin") ? null : html`<p class="muted">Your token may look and try. To plan and apply changes, log in with the admin token.</p>`;
}
