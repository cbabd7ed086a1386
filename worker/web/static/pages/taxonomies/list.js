// The taxonomies in force: labels with counts, and what reviews prove.
import { api } from "../../app/api.js";
import { compact, count, moment, plural } from "../../app/format.js";
import { html, useEffect, useRef } from "../../app/lib.js";
import { useEvery, useLoaded } from "../../app/load.js";
import { link } from "../../app/router.js";
import { Empty, ErrorBox, Icon, Loading, toast } from "../../app/ui.js";
import { lastApplied, ReadOnly } from "./plan.js";

/** Labels of a card. */
const LABELS = 12;
/** Milliseconds in which stored tags begin to follow a change, or never do, because there are none. */
const BEGIN = 60_000;

export function List() {
  const { value, error, again } = useLoaded("all", (signal) => api.get("/v1/taxonomies", undefined, signal));
  const counts = useLoaded(value && `${value.revision} ${value.retagging?.finished_at}`, (signal) => api.get("/v1/label-counts", { limit: LABELS }, signal));
  const follows = value?.retagging && !value.retagging.finished_at;
  const begins = value && !value.retagging && Date.now() - lastApplied.at < BEGIN;
  useEvery(2, () => (follows || begins) && again());
  useEvery(30, again); // others change taxonomies, too
  const followed = useRef(false);
  useEffect(() => {
    if (followed.current && value && !follows) toast("Stored tags follow the revision in force.");
    followed.current = Boolean(follows);
  }, [follows]);
  return html`<div class="row"><h1 class="grow">Taxonomies</h1>
      <a class="button" href=${link("taxonomies", { view: "history" })}>History</a>
      <a class="button primary-link" href=${link("taxonomies", { new: 1 })}><${Icon} name="plus" />New taxonomy</a></div>
    <${ReadOnly} />
    ${error && html`<${ErrorBox} error=${error} retry=${again} />`}
    ${!value && !error && html`<${Loading} what="the taxonomies" />`}
    ${follows && html`<p class="chip warn" role="status">Stored tags follow revision ${value.revision}: ${plural(value.retagging.images, "image")} examined, ${count(value.retagging.changed)} changed</p>`}
    ${value && !value.taxonomies.length && html`<${Empty} title="No taxonomies are in force yet">
      <p>The first worker puts those of its settings into force. You can already <a href=${link("taxonomies", { new: 1 })}>write one</a>.</p></${Empty}>`}
    <ul class="taxonomies">${(value?.taxonomies ?? []).map((/** @type {any} */ each) => html`<${Card} key=${each.name} taxonomy=${each}
      counts=${counts.value?.taxonomies.find((/** @type {any} */ own) => own.taxonomy === each.name)} exact=${counts.value?.exact ?? true} loading=${counts.busy} />`)}</ul>
    ${counts.error && html`<p class="muted">Counts are not available: ${counts.error.detail ?? String(counts.error)}</p>`}`;
}

/** @param {{taxonomy: any, counts: any, exact: boolean, loading: boolean}} props */
function Card({ taxonomy, counts, exact, loading }) {
  const { name, title, mode } = taxonomy;
  const more = taxonomy.labels - (counts?.labels.length ?? 0);
  const about = exact ? "" : "≈ ";
  return html`<li class="card">
    <h2><a href=${link("taxonomies", { open: name })}>${title}</a>${title !== name && html` <span class="muted">${name}</span>`}</h2>
    <p class="row">
      <span class="chip">${mode === "vocabulary" ? "vocabulary" : mode === "multi-label" ? "any number of labels" : taxonomy.many ? "one label, and its kinds" : "one label at most"}</span>
      <span class="chip">${plural(taxonomy.labels, "label")}</span>
      <${Proofs} taxonomy=${taxonomy} />
    </p>
    ${mode !== "vocabulary" && html`<ul class="tags" aria-label=${`Images by label of ${name}`}>
      ${counts?.labels.map((/** @type {any} */ each) => html`<li key=${each.label}><a class="chip" href=${link("taxonomies", { open: name, label: each.label })}>${each.label} <span class="muted">${about}${compact(each.images)}</span></a></li>`)}
      ${counts && more > 0 && html`<li class="muted">and ${count(more)} more</li>`}
      ${counts && html`<li class="chip muted">none of these <span>${about}${compact(counts.undecided)}</span></li>`}
      ${!counts && html`<li class="muted">${loading ? "counting …" : "No image has been tagged by it yet."}</li>`}
    </ul>`}
    <p class="muted small">since ${moment(taxonomy.since)}, by ${taxonomy.made_by}${taxonomy.set === "by-hand" ? ", added by hand" : `, set ${taxonomy.set}`} · <code>${taxonomy.version}</code></p>
  </li>`;
}

/** What reviews and numbers of its own say about its precision. @param {{taxonomy: any}} props */
function Proofs({ taxonomy }) {
  const { proven, expired, labels, target_precision: target, calibrated, mode } = taxonomy;
  if (mode === "vocabulary") return null;
  return html`${target !== null && html`<span class="chip" title="Labels that are not proven to reach it are only suggested.">asks for ${Math.round(target * 1000) / 10} %</span>`}
    ${proven > 0 && html`<span class="chip good">${count(proven)} of ${count(labels)} proven</span>`}
    ${expired > 0 && html`<span class="chip warn">${count(expired)} expired</span>`}
    ${!proven && !expired && html`<span class="chip" title="No certificate: nobody has measured how often its tags are right.">unproven</span>`}
    ${!calibrated && html`<span class="chip" title="It has no numbers for the active model: labels are judged relative to neutral prompts.">no numbers for this model</span>`}`;
}
