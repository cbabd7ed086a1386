// The second step: which images of a label to look at.
import { api } from "../../app/api.js";
import { count, percent, plural } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link, navigate } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { ErrorBox, Icon, Loading } from "../../app/ui.js";
import { certificateOf, names, overview, planOf, State } from "./labels.js";
import { ClosePlan } from "./close.js";
import { AskReviewer, reviewerNow } from "./reviewer.js";

const TARGETS = [[0.9, 60], [0.95, 120], [0.98, 300]]; // precision, decisions before the first look

/** @typedef {import("./source.js").Choice} Choice */

/** @param {AbortSignal} signal @param {Choice} choice */
async function load(signal, choice) {
  const [all, spaces, heads, taxonomy] = await Promise.all([
    overview(signal), api.get("/v1/spaces", {}, signal), api.get("/v1/heads", { taxonomy: choice.taxonomy, limit: 20 }, signal),
    api.get(`/v1/taxonomies/${encodeURIComponent(choice.taxonomy)}`, {}, signal),
  ]);
  const own = all.counts.get(choice.taxonomy)?.labels.find((/** @type {any} */ each) => each.label === choice.label);
  return {
    known: names(taxonomy.definition.labels).includes(choice.label),
    images: own?.images ?? 0, exact: all.exact,
    certificate: certificateOf(all.certificates, choice.taxonomy, choice.label),
    plan: planOf(all.plans, choice.taxonomy, choice.label),
    others: spaces.spaces.filter((/** @type {any} */ each) => each.state !== "active"),
    head: heads.heads.some((/** @type {any} */ each) => each.in_force),
  };
}

/** @param {{choice: Choice}} props */
export function Sources({ choice }) {
  const { value, error, again } = useLoaded(`${choice.taxonomy} ${choice.label}`, (signal) => load(signal, choice));
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="the label" />`;
  const to = (/** @type {Record<string, any>} */ rest) => link("review", { taxonomy: choice.taxonomy, label: choice.label, ...rest });
  return html`<div class="review-choose">
    <p class="crumbs"><a href=${link("review")}>All labels</a> <span class="muted">/ ${choice.taxonomy}</span></p>
    <h1>${choice.label} ${value.known && html`<${State} certificate=${value.certificate} plan=${value.plan} />`}</h1>
    ${!value.known ? html`<p class="error box" role="alert">The taxonomy ${choice.taxonomy} has no label “${choice.label}”: it was removed or renamed, or the address is mistyped. <a href=${link("review")}>Choose another label</a>.</p>` : html`
    <p class="muted">${value.exact ? "" : "About "}${plural(value.images, "image has", "images have")} it. What do you want to look at?</p>
    <div class="review-sources">
      <${Random} choice=${choice} plan=${value.plan} again=${again} />
      <${Source} title="Most uncertain" href=${to({ queue: "uncertain" })}>The probability closest to the threshold first: teaches the model most.</${Source}>
      <${Search} choice=${choice} />
      <${Source} title="Likely mistakes of people" href=${to({ queue: "label-error" })}>Decisions that the model contradicts most: finds slips.</${Source}>
      <${Source} title="Head and prompts disagree" href=${value.head ? to({ queue: "disagreement" }) : null} missing="No head is in force; enrich learn makes one.">What a head and the prompts alone say differently; the most certain first.</${Source}>
      ${value.others.length ? value.others.map((/** @type {any} */ each) => html`<${Source} key=${each.id} title=${`Spaces disagree: ${each.model}`} href=${to({ queue: "disagreement", space: each.id })}>What embedding space ${each.id} says differently; the most certain first.</${Source}>`)
      : html`<${Source} title="Spaces disagree" href=${null} missing="There is one embedding space only.">What another embedding space says differently.</${Source}>`}
    </div>`}
  </div>`;
}

/** @param {{title: string, href: string | null, missing?: string, children?: any}} props */
function Source({ title, href, missing, children }) {
  if (!href) return html`<div class="card review-source off"><h2>${title}</h2><p>${children}</p><p class="muted small">${missing}</p></div>`;
  return html`<a class="card review-source" href=${href}><h2>${title}</h2><p>${children}</p></a>`;
}

/** A search gives many images a label at once. @param {{choice: Choice}} props */
function Search({ choice }) {
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const query = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.target).elements.namedItem("query")).value.trim();
    navigate(link("review", { taxonomy: choice.taxonomy, label: choice.label, queue: "search", query }));
  };
  return html`<form class="card review-source" onSubmit=${submit}><h2>Search</h2>
    <p>Look for something, unselect what is wrong, and give the label to all others.</p>
    <div class="row"><input class="grow" name="query" maxlength="2000" placeholder=${choice.label} aria-label="Words to search for" /><button><${Icon} name="search" />Search</button></div>
  </form>`;
}

/** The only one that proves a precision. @param {{choice: Choice, plan: any, again: () => void}} props */
function Random({ choice, plan, again }) {
  const may = useMay("review");
  const [target, setTarget] = useState(plan?.target ?? 0.95);
  const [state, setState] = useState({ busy: false, error: /** @type {any} */ (null), asking: false });
  const begin = (/** @type {string} */ reviewer) => {
    if (!reviewer) return setState({ busy: false, error: null, asking: true });
    setState({ busy: true, error: null, asking: false });
    api.post("/v1/review-plans", { queue: "random", taxonomy: choice.taxonomy, label: choice.label, target, reviewer, unsure: choice.unsure }).then(
      (made) => navigate(link("review", { plan: made.id })),
      (error) => (setState({ busy: false, error, asking: false }), error.status === 409 && again()),
    );
  };
  if (state.asking) return html`<${AskReviewer} done=${begin} />`;
  return html`<div class="card review-source best"><h2>Random sample <span class="chip good">proves a precision</span></h2>
    <p>Drawn once, from all images with the label and those that nearly have it. Says how often the label is right.</p>
    ${plan ? html`<div class="row"><a class="button primary" href=${link("review", { plan: plan.id })}>${may ? "Go on" : "Look"}</a>
        <span class="muted">plan ${plan.id}: ${count(plan.reviewed)} of ${count(plan.frame_size)} reviewed, ${percent(plan.target)} to prove</span>
        <span class="grow"></span>${may && html`<${ClosePlan} plan=${plan} reviewer=${reviewerNow() || plan.reviewer} done=${again} />`}</div>`
    : html`<div class="row"><label>Prove <select value=${target} onChange=${(/** @type {any} */ event) => setTarget(Number(event.target.value))}>
        ${TARGETS.map(([each, first]) => html`<option value=${each}>${percent(each)} (first result after ${first})</option>`)}</select></label>
      <button class="primary" disabled=${!may || state.busy} onClick=${() => begin(reviewerNow())}>${state.busy ? "Drawing …" : "Start"}</button></div>`}
    ${!may && !plan && html`<p class="muted small">Starting one needs the review token.</p>`}
    ${state.error && html`<${ErrorBox} error=${state.error} />`}
  </div>`;
}
