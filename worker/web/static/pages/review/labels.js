// The first step: which label is to be reviewed.
import { api } from "../../app/api.js";
import { compact, count, percent, plural } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link } from "../../app/router.js";
import { Empty, ErrorBox, Loading } from "../../app/ui.js";
import { selection } from "./source.js";

const FIRST = 12; // labels of a taxonomy that are shown at once

/** Everything that the first two steps show. @param {AbortSignal} signal */
export async function overview(signal) {
  const [taxonomies, counts, certificates, plans] = await Promise.all([
    api.get("/v1/taxonomies", {}, signal),
    api.get("/v1/label-counts", {}, signal),
    api.get("/v1/certificates", {}, signal),
    api.get("/v1/review-plans", { only_open: true, limit: 100 }, signal),
  ]);
  return {
    taxonomies: taxonomies.taxonomies.filter((/** @type {any} */ each) => each.mode !== "vocabulary"),
    exact: counts.exact,
    counts: new Map(counts.taxonomies.map((/** @type {any} */ each) => [each.taxonomy, each])),
    certificates: certificates.certificates,
    plans: plans.plans.filter((/** @type {any} */ each) => !each.outdated),
  };
}

/** The certificate that counts for a label: the one in force, else the newest. @param {any[]} all @param {string} taxonomy @param {string} label */
export function certificateOf(all, taxonomy, label) {
  const own = all.filter((each) => each.taxonomy === taxonomy && (each.label === label || each.label === null));
  return own.find((each) => each.in_force) ?? own.sort((a, b) => b.id - a.id)[0] ?? null;
}

/** The open random plan about a label. @param {any[]} plans @param {string} taxonomy @param {string} label */
export const planOf = (plans, taxonomy, label) => plans.find((each) => each.queue === "random" && each.taxonomy === taxonomy && each.label === label);

/** What reviews have proven about a label. @param {{certificate: any, plan?: any}} props */
export function State({ certificate, plan }) {
  if (!certificate) return html`<span class="chip">${plan ? "in review" : "not reviewed"}</span>`;
  const { state, target, reviewed, errors, reason } = certificate;
  if (state === "proven") return html`<span class="chip good" title=${`${count(reviewed)} reviewed, ${count(errors)} wrong`}>proven ${percent(target)}</span>`;
  if (state === "expired") return html`<span class="chip warn" title=${reason}>expired</span>`;
  return html`<span class="chip" title=${`${count(reviewed)} reviewed, ${count(errors)} wrong`}>unproven</span>`;
}

/** @param {{choice: import("./source.js").Choice}} props */
export function Labels({ choice }) {
  const { value, error, again } = useLoaded("overview", overview);
  const selected = choice.queue === "selection" ? selection() : [];
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="taxonomies" />`;
  if (!value.taxonomies.length) return html`<${Empty} title="There is nothing to review yet">
    <p>No taxonomy is in force. <a href=${link("taxonomies")}>Write one</a>, or start a worker with <code>enrich up</code>.</p></${Empty}>`;
  const known = !choice.taxonomy || value.taxonomies.some((/** @type {any} */ each) => each.name === choice.taxonomy);
  return html`<div class="review-choose">
    ${!known && html`<p class="error box" role="alert">There is no taxonomy “${choice.taxonomy}” to review: it was removed or renamed, or the address is mistyped. Choose a label of another one.</p>`}
    <h1>${selected.length ? `Which label do ${plural(selected.length, "image")} get?` : "Which label do you want to review?"}</h1>
    ${choice.queue === "selection" && !selected.length && html`<p class="error box">No images were handed over: select some on the <a href=${link("search")}>search page</a> or the <a href=${link("map")}>map</a> first.</p>`}
    ${!selected.length && html`<${Plans} plans=${value.plans} />`}
    <div class="review-taxonomies">${value.taxonomies.map((/** @type {any} */ each) => html`<${Taxonomy} key=${each.name} taxonomy=${each} of=${value} from=${selected.length ? "selection" : ""} />`)}</div>
  </div>`;
}

/** Reviews that were begun. @param {{plans: any[]}} props */
function Plans({ plans }) {
  if (!plans.length) return null;
  return html`<section class="review-plans" aria-label="Open plans">${plans.slice(0, 8).map(
    (each) => html`<a key=${each.id} class="card" href=${link("review", { plan: each.id })}>
      <strong>${each.label ?? each.taxonomy}</strong> <span class="muted">${each.queue === "random" ? `${percent(each.target)} to prove` : each.queue}</span>
      <progress max=${each.frame_size} value=${each.frame_size - each.remaining} aria-label="reviewed"></progress>
      <span class="muted">${count(each.reviewed)} of ${count(each.frame_size)} reviewed</span></a>`,
  )}</section>`;
}

/** Labels with images, and, once asked for, those without. @param {any} taxonomy @param {any[]} counted @param {boolean} all */
function useLabels(taxonomy, counted, all) {
  const { value } = useLoaded(all ? taxonomy.name : null, (signal) => api.get(`/v1/taxonomies/${encodeURIComponent(taxonomy.name)}`, {}, signal));
  if (!all) return counted.slice(0, FIRST);
  const have = new Set(counted.map((each) => each.label));
  return [...counted, ...names(value?.definition.labels).filter((each) => !have.has(each)).map((label) => ({ label, images: 0 }))];
}

/** @param {any[] | undefined} labels @returns {string[]} */
export const names = (labels) => (labels ?? []).flatMap((each) => [each.name, ...names(each.children)]);

/** @param {{taxonomy: any, of: any, from: string}} props */
function Taxonomy({ taxonomy, of, from }) {
  const [all, setAll] = useState(false);
  const own = of.counts.get(taxonomy.name);
  const counted = own?.labels ?? [];
  const labels = useLabels(taxonomy, counted, all || !counted.length);
  const most = Math.max(1, ...labels.map((each) => each.images));
  return html`<section class="card"><h2>${taxonomy.title}</h2>
    <ul class="review-labels">${labels.map(
      (each) => html`<li key=${each.label}><a href=${link("review", { taxonomy: taxonomy.name, label: each.label, from })}>
        <span class="name">${each.label}</span>
        <span class="share" aria-hidden="true"><span style=${{ width: `${(100 * each.images) / most}%` }}></span></span>
        <span class="number">${of.exact || !each.images ? "" : "about "}${compact(each.images)}</span>
        <${State} certificate=${certificateOf(of.certificates, taxonomy.name, each.label)} plan=${planOf(of.plans, taxonomy.name, each.label)} /></a></li>`,
    )}</ul>
    ${!all && taxonomy.labels > labels.length && html`<button class="quiet" onClick=${() => setAll(true)}>All ${count(taxonomy.labels)} labels</button>`}
    ${own?.undecided > 0 && html`<p class="muted small">${plural(own.undecided, "image")} with none of them</p>`}
  </section>`;
}
