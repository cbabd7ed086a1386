// Which taxonomies were in force when, and the way back.
import { api } from "../../app/api.js";
import { moment } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link, navigate } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { Empty, ErrorBox, Loading } from "../../app/ui.js";
import { Plan, ReadOnly } from "./plan.js";

/** Revisions shown at first, and how many more at a time. */
const STEP = 20;

/**
 * What a revision changed, compared with the one before it.
 * @param {Record<string, string>} versions @param {Record<string, string>} before
 * @returns {{name: string, kind: "added" | "changed" | "removed", version: string}[]}
 */
export function changes(versions, before) {
  const names = [...new Set([...Object.keys(versions), ...Object.keys(before)])].sort();
  return names.filter((name) => versions[name] !== before[name]).map((name) => ({
    name, version: versions[name] ?? before[name],
    kind: !(name in before) ? "added" : !(name in versions) ? "removed" : "changed",
  }));
}

export function History() {
  const [limit, setLimit] = useState(STEP);
  const [target, setTarget] = useState(/** @type {{to: string, title: string} | null} */ (null));
  const may = useMay("admin");
  const { value, error, again } = useLoaded(String(limit), (signal) => api.get("/v1/taxonomy-revisions", { limit: limit + 1 }, signal));
  if (target) {
    return html`<${Plan} change=${{ back_to: target.to }} title=${target.title} action="Go back" back=${() => setTarget(null)}
      done=${() => (setTarget(null), navigate(link("taxonomies")))} />`;
  }
  const all = value?.revisions ?? [];
  return html`<div class="row"><h1 class="grow">History of taxonomies</h1><a class="button" href=${link("taxonomies")}>Taxonomies</a></div>
    <${ReadOnly} />
    ${error && html`<${ErrorBox} error=${error} retry=${again} />`}
    ${!value && !error && html`<${Loading} what="the history" />`}
    ${value && !all.length && html`<${Empty} title="No taxonomies are in force yet"><p>The first worker puts those of its settings into force.</p></${Empty}>`}
    <ol class="revisions">${all.slice(0, limit).map((/** @type {any} */ each, /** @type {number} */ at) => html`<${Revision} key=${each.id} revision=${each} before=${all[at + 1]} current=${at === 0} may=${may} go=${setTarget} />`)}</ol>
    ${all.length > limit && html`<button onClick=${() => setLimit(limit + STEP)}>Show older revisions</button>`}`;
}

/** @param {{revision: any, before: any, current: boolean, may: boolean, go: (target: {to: string, title: string}) => void}} props */
function Revision({ revision, before, current, may, go }) {
  const what = changes(revision.versions, before?.versions ?? {});
  const did = revision.action === "rollback" ? `went back to ${revision.back_to}` : revision.action === "begin" ? "the beginning" : "applied";
  return html`<li class="card">
    <div class="row"><h2 class="grow">Revision ${revision.id} ${current && html`<span class="chip good">in force</span>`}</h2>
      ${may && !current && html`<button onClick=${() => go({ to: String(revision.id), title: `Go back to revision ${revision.id}` })}>Go back to this …</button>`}</div>
    <p class="muted">${moment(revision.made_at)} · ${revision.made_by} · ${did}</p>
    <ul class="edits">${what.map((each) => html`<li key=${each.name}><span class=${`chip ${each.kind === "added" ? "good" : each.kind === "removed" ? "bad" : "warn"}`}>${each.kind}</span>
      ${" "}${each.name} <code>${each.version}</code>
      ${may && !current && each.kind !== "removed" && html` <button class="quiet" onClick=${() => go({ to: `${each.name}@${each.version}`, title: `Go back to ${each.name} of revision ${revision.id}` })}>only this one …</button>`}</li>`)}
      ${!what.length && html`<li class="muted">${before ? "Only texts for people, or what reviews taught." : "Older revisions are not shown."}</li>`}</ul>
  </li>`;
}
