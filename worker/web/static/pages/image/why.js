// Why: what a taxonomy compared, as bars, loaded when it is asked for.
import { api, objectPath } from "../../app/api.js";
import { percent } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { ErrorBox, Loading } from "../../app/ui.js";

const MOST = 6; // labels at first

/** @type {Record<string, string>} what the reasons mean */
const REASONS = {
  decided: "holds", "background-nearer": "lost to the background", "below-neutral-level": "not far enough above prompts that ask nothing",
  "another-label-nearer": "another label is nearer", tie: "exactly as near as another", "below-threshold": "its probability is below the threshold",
  "margin-too-small": "ahead, but not by the margin", unproven: "would hold, but its precision is not proven", "parent-not-decided": "the label above it does not hold",
  "condition-not-met": "the taxonomy does not apply",
};
const STANDING = /** @type {Record<string, string>} */ ({
  "older-version": "The tags are by an older version of the taxonomy, which is the one explained here.",
  differs: "The catalog has something else than this says: the taxonomy is being applied, or was changed.",
  nothing: "The catalog has nothing of this taxonomy yet.",
});

/** @param {{image: any, taxonomy: string}} props */
export function Explained({ image, taxonomy }) {
  const { value, error, again } = useLoaded(`${image.sha256} ${taxonomy}`, (signal) =>
    api.get(`/v1/explanations/${objectPath(image.bucket, image.key)}`, { taxonomy }, signal));
  const [all, setAll] = useState(false);
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="the explanation" />`;
  const [told] = value.taxonomies;
  if (!told) return html`<p class="muted">${value.notes.join(" ") || "There is nothing to explain."}</p>`;
  const labels = [...told.labels].sort((one, other) => other.probability - one.probability);
  return html`<div class="explained">
    ${told.decided_by === "human-decision" && html`<p>A person decided. What follows is what the model says.</p>`}
    ${!told.applies && html`<p>The taxonomy does not apply to this image: its condition is not met.</p>`}
    ${STANDING[told.standing] && html`<p class="warn">${STANDING[told.standing]}</p>`}
    ${told.newer && html`<p class="warn">Its newest version says: ${told.newer.labels.join(", ") || "none of these"}.</p>`}
    <ul>${labels.slice(0, all ? undefined : MOST).map((label) => html`<${Label} key=${label.label} label=${label} />`)}</ul>
    ${labels.length > MOST && !all && html`<button class="quiet" onClick=${() => setAll(true)}>${labels.length - MOST} more labels</button>`}
    ${told.background.map((/** @type {any} */ each) => html`<p class="muted" key=${each.parent ?? ""}>Background: ${each.similarity.toFixed(3)} (“${each.texts[0]?.text}”)</p>`)}
    ${told.neutral && html`<p class="muted">Not calibrated for this model: judged relative to prompts that ask nothing, of which “${told.neutral.nearest.text}” is nearest.</p>`}
    ${value.notes.map((/** @type {string} */ note) => html`<p class="warn" key=${note}>${note}</p>`)}
  </div>`;
}

/** @param {{label: any}} props */
function Label({ label }) {
  return html`<li class=${label.reason === "decided" ? "decided" : ""}>
    <span class="bar-name">${label.title}</span><span class="bar-number">${percent(label.probability)}</span>
    <span class="bar" title=${`threshold ${percent(label.threshold)}`}><span style=${{ width: `${100 * label.probability}%` }}></span><i style=${{ left: `${100 * label.threshold}%` }}></i></span>
    <span class="muted explained-text">${REASONS[label.reason] ?? label.reason} · similarity ${label.similarity.toFixed(3)}${label.rival === null ? "" : `, rival ${label.rival.toFixed(3)}`}${label.texts[0] ? html` · “${label.texts[0].text}”` : ""}</span>
  </li>`;
}
