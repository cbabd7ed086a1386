// Facets beside the results: what the images have that match the filter, and how many.
import { api } from "../../app/api.js";
import { compact, count, plural } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { ErrorBox, Icon, Loading } from "../../app/ui.js";
import { chosen, toggled, without, written } from "./filter.js";

/** @typedef {{value: string | null, title: string, about: number | null, exact: boolean}} Row */
/** @typedef {{facet: string, title: string, rows: Row[], more: number}} Group */

/** @param {Record<string, any> | null} filter @param {AbortSignal} signal @param {Record<string, any>} [more] */
const ask = (filter, signal, more) => api.post("/v1/facets", { ...(filter ? { filter } : {}), ...more }, signal);

/**
 * Counts over the filter; those of a facet in use leave its own values out, so that one can choose others.
 * @param {Record<string, any> | null} filter @param {number} limit @param {boolean} shown
 */
export function useFacets(filter, limit, shown) {
  return useLoaded(shown ? JSON.stringify([filter, limit]) : null, async (signal) => {
    const now = chosen(filter);
    const own = async (/** @type {string} */ facet) => {
      const taxonomies = facet.startsWith("tag:") ? { taxonomies: [facet.slice(4)] } : {};
      return /** @type {[string, any]} */ ([facet, await ask(written(without(now, facet)), signal, { limit, ...taxonomies })]);
    };
    // Of a taxonomy with one label in the filter, the API leaves it out by itself.
    const other = [...now.values].filter(([facet, values]) => !facet.startsWith("tag:") || values.length > 1 || values[0] === null);
    const facets = [...other.map(([facet]) => facet), ...(now.taken ? ["taken"] : [])];
    const [all, buckets, ...others] = await Promise.all([ask(filter, signal, { limit }), api.get("/v1/buckets", {}, signal), ...facets.map(own)]);
    return { all, buckets: buckets.buckets, own: new Map(others) };
  });
}

/** @param {any} found @param {import("./filter.js").Chosen} now @returns {Group[]} */
function groupsOf({ all, buckets, own }, now) {
  const rows = (/** @type {string} */ facet, /** @type {any[]} */ named, /** @type {boolean} */ exact) => {
    const given = named.map((each) => ({ value: each.value, title: each.title, about: each.count.about, exact }));
    // What is chosen stays visible, also if nothing has it.
    for (const value of now.values.get(facet) ?? [])
      if (!given.some((each) => each.value === value)) given.push({ value, title: value ?? "none of these", about: 0, exact: true });
    return given;
  };
  const tags = all.taxonomies.map((/** @type {any} */ plain) => {
    const facet = `tag:${plain.taxonomy}`;
    const each = own.get(facet)?.taxonomies.find((/** @type {any} */ other) => other.taxonomy === plain.taxonomy) ?? plain;
    const named = each.labels.map((/** @type {any} */ label) => ({ value: label.label, ...label }));
    if (each.undecided.about > 0) named.push({ value: null, title: "none of these", count: each.undecided });
    return { facet, title: plain.taxonomy, rows: rows(facet, named, each.of.exact && each.of.examined === each.of.images), more: each.left_out };
  });
  const plain = (/** @type {string} */ facet, /** @type {string} */ title, /** @type {string} */ member, /** @type {number} */ more = 0) => {
    const source = own.get(facet) ?? all;
    const named = source[member].filter((/** @type {any} */ each) => each.name && each.count.about > 0);
    const exact = source.of.exact && source.of.examined === source.of.images;
    return { facet, title, rows: rows(facet, named.map((/** @type {any} */ each) => ({ value: each.name, title: each.name, count: each.count })), exact), more };
  };
  const places = { facet: "bucket", title: "Bucket", more: 0, rows: buckets.map((/** @type {any} */ each) => ({ value: each.bucket, title: each.bucket, about: null, exact: true })) };
  const found = [...tags, plain("camera", "Camera", "cameras", all.more_cameras), plain("format", "Format", "formats"), places];
  return found.filter((each) => each.rows.length > (each === places && !now.values.has("bucket") ? 1 : 0));
}

/** @param {{filter: Record<string, any> | null, change: (filter: Record<string, any> | null) => void, loaded: any, searching: boolean, more: () => void}} props */
export function Facets({ filter, change, loaded, searching, more }) {
  const now = chosen(filter);
  const { value, error, busy, again } = loaded;
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="counts" />`;
  const of = value.all.of;
  const others = Object.keys(now.rest).length;
  return html`<div class="facets" aria-busy=${busy}>
    <p class="muted facets-of">${denominator(of, filter)}${searching ? ", whatever is searched for" : ""}.</p>
    ${(filter !== null) && html`<button type="button" class="facets-clear" onClick=${() => change(null)}><${Icon} name="close" />Clear the filter</button>`}
    ${others > 0 && html`<p class="chip warn" title=${JSON.stringify(now.rest)}>${plural(others, "further condition")}
      <button type="button" class="quiet" aria-label="Remove the further conditions" onClick=${() => change(written({ ...now, rest: {} }))}>×</button></p>`}
    ${groupsOf(value, now).map((group, at) => html`<${FacetGroup} key=${group.facet} group=${group} open=${at < 4 || now.values.has(group.facet)}
      chosen=${now.values.get(group.facet) ?? []} most=${of.images} choose=${(/** @type {string | null} */ each) => change(written(toggled(now, group.facet, each)))} more=${more} />`)}
    <${Period} found=${value.own.get("taken") ?? value.all} inside=${value.all} taken=${now.taken} choose=${(/** @type {string | null} */ taken) => change(written({ ...now, taken }))} />
  </div>`;
}

/** @param {any} of @param {any} filter */
function denominator(of, filter) {
  const images = `${of.exact ? count(of.images) : `about ${compact(of.images)}`} ${of.images === 1 ? "image" : "images"}`;
  const which = filter ? "that match the filter" : "of the catalog";
  return of.examined < of.images ? `Counted in a random ${count(of.examined)} of ${images} ${which}` : `Counted over ${images} ${which}`;
}

/** @param {{group: Group, open: boolean, chosen: (string | null)[], most: number, choose: (value: string | null) => void, more: () => void}} props */
function FacetGroup({ group, open, chosen: values, choose, more }) {
  const most = Math.max(1, ...group.rows.map((each) => each.about ?? 0));
  return html`<details class="facet" open=${open}><summary>${group.title}${values.length > 0 && html` <span class="chip">${values.length}</span>`}</summary>
    <ul>${group.rows.map((each) => html`<li key=${each.value ?? ""}><label class="facet-row">
      <input type="checkbox" checked=${values.includes(each.value)} onChange=${() => choose(each.value)} />
      <span class=${`facet-name${each.value === null ? " muted" : ""}`}>${each.title}</span>
      ${each.about !== null && html`<span class="facet-count">${each.exact ? count(each.about) : `about ${compact(each.about)}`}</span>
      <span class="facet-bar" style=${{ width: `${(100 * each.about) / most}%` }}></span>`}
    </label></li>`)}</ul>
    ${group.more > 0 && html`<button type="button" class="quiet" onClick=${more}>${count(group.more)} more</button>`}
  </details>`;
}

const LENGTHS = /** @type {Record<string, number>} */ ({ year: 4, month: 7, day: 10 });

/** When the pictures were taken: a bar for each year, month or day; choosing one looks into it. @param {{found: any, inside: any, taken: string | null, choose: (taken: string | null) => void}} props */
function Period({ found, inside, taken, choose }) {
  const [open, setOpen] = useState(true);
  const shown = taken ? inside : found;
  const known = shown.taken.filter((/** @type {any} */ each) => each.start !== null);
  if (!known.length && !taken) return null;
  const most = Math.max(1, ...known.map((/** @type {any} */ each) => each.count.about));
  const exact = shown.of.exact && shown.of.examined === shown.of.images;
  return html`<details class="facet" open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}><summary>Taken</summary>
    ${taken && html`<p class="chip">${taken} <button type="button" class="quiet" aria-label=${`Any time instead of ${taken}`} onClick=${() => choose(taken.includes("-") ? taken.slice(0, taken.lastIndexOf("-")) : null)}>×</button></p>`}
    <ul>${known.map((/** @type {any} */ each) => {
      const name = each.start.slice(0, LENGTHS[shown.unit]);
      return html`<li key=${name}><button type="button" class="facet-row" disabled=${name === taken} onClick=${() => choose(name)}>
        <span class="facet-name">${name}</span><span class="facet-count">${exact ? count(each.count.about) : `about ${compact(each.count.about)}`}</span>
        <span class="facet-bar" style=${{ width: `${(100 * each.count.about) / most}%` }}></span></button></li>`;
    })}</ul>
  </details>`;
}
