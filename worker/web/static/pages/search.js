// The search page: one box, facets beside a grid, and the address says all of it.
import { api } from "../app/api.js";
import { count, plural } from "../app/format.js";
import { Grid } from "../app/grid.js";
import { useKeys } from "../app/keys.js";
import { html, useEffect, useMemo, useRef, useState } from "../app/lib.js";
import { useEvery } from "../app/load.js";
import { link, navigate } from "../app/router.js";
import { Empty, ErrorBox, Icon } from "../app/ui.js";
import { Box } from "./search/box.js";
import { Card } from "./search/card.js";
import { Facets, useFacets } from "./search/facets.js";
import { addressOf, isSearch, searchOf } from "./search/query.js";
import { remember, useResults } from "./search/results.js";
import { Saved } from "./search/saved.js";

const MOST_HITS = 10_000; // where a search of the API ends
const MOST_EXAMPLES = 32;
const MOST_AWAITED = 40;

/** @param {{query: URLSearchParams}} props */
export default function Page({ query }) {
  const search = useMemo(() => searchOf(query), [query.toString()]);
  const [wide, setWide] = useState(() => innerWidth > 900);
  const [limit, setLimit] = useState(12);
  const facets = useFacets(search.filter, limit, wide);
  const change = (/** @type {import("./search/query.js").Search} */ next) => {
    const to = addressOf({ ...next, all: false });
    if (to === addressOf({ ...search, all: false })) return;
    navigate(to);
    scrollTo(0, 0);
  };
  return html`<h1 class="visually-hidden">Search</h1>
    <${Box} search=${search} change=${change}>
      <${Saved} search=${search} open=${change} />
      <button type="button" class="quiet" aria-label="Filter" aria-expanded=${wide} aria-controls="facets" onClick=${() => setWide(!wide)}><${Icon} name="sliders" /><span class="wide">Filter</span></button>
    </${Box}>
    <div class="search-body">
      <aside id="facets" class="search-side" aria-label="Filter" hidden=${!wide}>
        ${wide && html`<${Facets} filter=${search.filter} loaded=${facets} searching=${isSearch(search)} more=${() => setLimit(200)}
          change=${(/** @type {any} */ filter) => change({ ...search, filter })} />
          <button type="button" class="primary show-results" onClick=${() => setWide(false)}>Show the pictures</button>`}
      </aside>
      ${search.unreadable ? html`<${Unreadable} text=${search.unreadable} />` : html`<${Results} search=${search} change=${change} of=${facets.value?.all.of ?? null} counted=${facets.again} />`}
    </div>`;
}

/**
 * @param {{search: import("./search/query.js").Search, change: (search: import("./search/query.js").Search) => void, of: any, counted: () => void}} props
 */
function Results({ search, change, of, counted }) {
  const key = addressOf({ ...search, all: false });
  const results = useResults(search, key);
  const [selected, setSelected] = useState(/** @type {Set<string>} */ (new Set()));
  const [pointed, setPointed] = useState(/** @type {{item: any, cell: HTMLElement} | null} */ (null));
  const grid = useRef(/** @type {import("../app/grid.js").GridHandle | null} */ (null));
  const timer = useRef(/** @type {any} */ (0));
  useEffect(() => (setSelected(new Set()), setPointed(null)), [key]);
  useEffect(() => {
    const hide = () => setPointed(null);
    const escape = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && hide();
    document.addEventListener("scroll", hide, { passive: true, capture: true });
    document.addEventListener("keydown", escape, true);
    return () => {
      clearTimeout(timer.current);
      document.removeEventListener("scroll", hide, { capture: true });
      document.removeEventListener("keydown", escape, true);
    };
  }, []);

  const { items, cut, more, begun, error } = results;
  const reveal = search.all || cut === 0; // where nothing is relevant, the nearest are better than nothing
  const shown = cut > 0 && !reveal ? items.slice(0, cut) : items;
  const searching = isSearch(search);
  /** @param {"like" | "unlike"} side @param {string[]} names */
  const examples = (side, names) => {
    const other = side === "like" ? "unlike" : "like";
    const mine = search[side].filter((each) => !names.includes(each.value));
    const added = names.map((value) => ({ kind: /** @type {const} */ ("image"), value }));
    change({ ...search, [side]: [...mine, ...added].slice(-MOST_EXAMPLES + search[other].length), [other]: search[other].filter((each) => !names.includes(each.value)) });
    grid.current?.focus();
  };
  const focused = () => items[grid.current?.focused() ?? 0];
  const nameOf = (/** @type {any} */ item) => `${item.bucket}/${item.key}`;
  const named = () => (selected.size ? [...selected] : focused() ? [nameOf(focused())] : []);
  useKeys([
    { key: "m", does: "more like the focused or selected pictures", run: () => examples("like", named()) },
    { key: "l", does: "less like the focused or selected pictures", run: () => examples("unlike", named()) },
  ]);
  /** Show what is known of a picture, a moment later, where its cell is by then. @param {any} item @param {string} cell selector @param {number} after milliseconds */
  const point = (item, cell, after) => {
    clearTimeout(timer.current);
    if (!item) return setPointed(null);
    timer.current = setTimeout(() => {
      const found = /** @type {HTMLElement | null} */ (document.querySelector(cell));
      setPointed(found && { item, cell: found });
    }, after);
  };
  const showLess = () => {
    navigate(addressOf({ ...search, all: true }), { replace: true });
    grid.current?.focus();
    grid.current?.moveTo(cut);
  };
  const line = cut < 0 ? [] : [{ before: cut, height: 56, content: reveal
    ? html`<span>${cut === 0 ? "Nothing is clearly relevant. These are nearest:" : "Relevance cut-off: what follows is more likely wrong than right"}</span>`
    : html`<span>Relevance cut-off: below this line, pictures are more likely wrong than right</span><button type="button" onClick=${showLess}>Show less relevant</button>` }];

  if (error && !items.length) return html`<section class="results"><${ErrorBox} error=${error} retry=${results.again} />
    ${error.status === 422 && search.filter && html`<button type="button" onClick=${() => change({ ...search, filter: null })}>Clear the filter</button>`}</section>`;
  return html`<section class="results" aria-label="Results">
    <p class="results-status muted" role="status">${status(search, results, shown.length, reveal, of)}</p>
    ${error && html`<${ErrorBox} error=${error} retry=${results.again} />`}
    ${begun && !items.length && !more ? html`<${Nothing} search=${search} change=${change} appeared=${() => (results.look(), counted())} />`
    : html`<${Grid} label=${searching ? "Pictures found" : "Pictures, the newest first"} name=${key} size=${148} items=${shown} more=${more && (reveal || cut < 0) && !error}
        total=${!searching && of?.exact ? of.images : 0} loadMore=${results.load} selected=${selected} onSelect=${setSelected} dividers=${line} handle=${grid}
        labelOf=${spoken} onOpen=${(/** @type {any} */ item) => (remember(shown), navigate(link("image", { bucket: item.bucket, key: item.key })), scrollTo(0, 0))}
        onHover=${(/** @type {any} */ item, /** @type {HTMLElement | null} */ cell) => point(item, `.grid [data-index="${cell?.dataset.index}"]:hover`, 350)}
        onFocus=${(/** @type {any} */ item, /** @type {number} */ index) => point(item, `.grid:focus-visible [data-index="${index}"]`, 700)}
        renderBadge=${(/** @type {any} */ item) => html`${item.copies > 0 && html`<span class="badge">+${count(item.copies)} ${item.copies === 1 ? "copy" : "copies"}</span>`}
          <span class="cell-actions"><button type="button" tabindex="-1" title="More like this (m)" aria-label="More like this" onClick=${() => examples("like", [nameOf(item)])}><${Icon} name="plus" /></button>
          <button type="button" tabindex="-1" title="Less like this (l)" aria-label="Less like this" onClick=${() => examples("unlike", [nameOf(item)])}><${Icon} name="minus" /></button></span>`} />`}
    ${pointed && html`<${Card} item=${pointed.item} cell=${pointed.cell} search=${search} />`}
    ${selected.size > 0 && html`<div class="selection" role="toolbar" aria-label="Selected pictures"><strong>${plural(selected.size, "picture")}</strong>
      <button type="button" onClick=${() => examples("like", [...selected])}>More like these</button>
      <button type="button" onClick=${() => examples("unlike", [...selected])}>Less like these</button>
      <button type="button" class="quiet" onClick=${() => (setSelected(new Set()), grid.current?.focus())}>Clear</button></div>`}
  </section>`;
}

/** The address has a filter that is not JSON: it was cut off, or mistyped. @param {{text: string}} props */
function Unreadable({ text }) {
  return html`<section class="results"><div class="error box" role="alert"><p>The filter in the address cannot be read, because it is not a JSON object: <code>${text.length > 200 ? `${text.slice(0, 200)} …` : text}</code>. Copy the address anew, or choose a filter here.</p>
    <a class="button" href=${link("search")}>Show all images</a></div></section>`;
}

/** What a screen reader says of a picture. @param {any} item */
function spoken(item) {
  const tags = Array.isArray(item.tags)
    ? item.tags.map((/** @type {any} */ tag) => tag.label).filter(Boolean)
    : Object.values(item.tags).flat().filter(Boolean);
  const relevance = typeof item.relevance === "number" ? `, relevance ${Math.round(item.relevance * 100)} %` : "";
  return `${item.key}${tags.length ? `, ${tags.join(", ")}` : ""}${relevance}`;
}

/** How many there are, and what is not complete about them. @param {import("./search/query.js").Search} search @param {any} results @param {number} shown @param {boolean} reveal @param {any} of */
function status(search, { items, more, complete, exact, begun, cut, busy }, shown, reveal, of) {
  if (!begun) return "Searching …";
  /** @type {string[]} */
  const said = [];
  if (!isSearch(search)) {
    const all = more ? of && `${of.exact ? count(of.images) : `about ${count(of.images)}`} images` : plural(items.length, "image");
    if (all) said.push(`${all}, the newest first`);
  } else if (cut === 0) said.push(`${plural(shown, "picture")}${more ? " so far" : ""}, none of them clearly relevant`);
  else if (cut > 0) said.push(`${plural(cut, "relevant picture")}${reveal ? `, and ${count(items.length - cut)} less relevant ones${more ? " so far" : ""}` : ""}`);
  else said.push(`${plural(shown, "picture")}${more ? " so far" : ""}, the most similar first`);
  if (isSearch(search) && !exact) said.push("found by an index, which misses a few");
  if (!complete) said.push("the search stopped at a limit, so some may be missing");
  if (isSearch(search) && !more && items.length >= MOST_HITS) said.push(`a search ends after ${count(MOST_HITS)} pictures: narrow it by a filter`);
  if (busy && items.length) said.push(`loading more after ${count(items.length)}`);
  return said.length ? `${said.join("; ")}.` : "";
}

/** @param {{search: import("./search/query.js").Search, change: (search: import("./search/query.js").Search) => void, appeared: () => void}} props */
function Nothing({ search, change, appeared }) {
  useEffect(() => {
    // The grid that may have had the focus is gone: what one would do next is to change the search.
    if (document.activeElement === document.body) /** @type {HTMLElement | null} */ (document.querySelector(".box input"))?.focus();
  }, []);
  if (!isSearch(search) && !search.filter) return html`<${NoImages} appeared=${appeared} />`;
  return html`<${Empty} title="No image matches">
    ${search.filter && html`<p><button type="button" onClick=${() => change({ ...search, filter: null })}>Clear the filter</button></p>`}
    ${isSearch(search) && html`<p><button type="button" onClick=${() => change({ ...search, text: "", like: [], unlike: [] })}>Show all images</button></p>`}</${Empty}>`;
}

/** The catalog is empty: what to do, and the first images as soon as no more come at every look. @param {{appeared: () => void}} props */
function NoImages({ appeared }) {
  const before = useRef(0);
  useEvery(3, () => void api.get("/v1/images", { order: "newest", limit: MOST_AWAITED }).then(({ images }) => {
    if (images.length && (images.length === before.current || images.length === MOST_AWAITED)) appeared();
    before.current = images.length;
  }, () => {})); // the API is away: it is asked again
  return html`<${Empty} title="No images yet">
    <p>Upload pictures to a watched bucket with any S3 client; those that are in it already come with <code>enrich backfill</code>.</p>
    <p>They appear here by themselves once a worker has enriched them. <a href=${link("operations")}>Operations</a> shows what is being done.</p></${Empty}>`;
}
