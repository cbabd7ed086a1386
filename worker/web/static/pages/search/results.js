// What a search finds, page by page. The last few results stay in memory, so that going back shows them at once.
import { api } from "../../app/api.js";
import { remembered } from "../../app/grid-place.js";
import { useCallback, useEffect, useReducer, useRef } from "../../app/lib.js";
import { forgetDetails } from "./card.js";
import { isSearch, requestOf } from "./query.js";

/** Least relevance of what is shown above the line. */
export const RELEVANT = 0.5;
const FIRST = 40; // items of the first page: what a window shows
const [LEAST, MOST] = [100, 500]; // of the pages after it
const KEPT = 6;

/**
 * @typedef {object} Results
 * @property {any[]} items hits, or images
 * @property {boolean} more whether there are others behind them
 * @property {boolean} complete whether the search looked everywhere it should
 * @property {boolean} exact whether every image was compared
 * @property {boolean} begun whether anything has been answered
 * @property {any} error
 * @property {string | null} after
 * @property {Promise<void> | null} loading
 */

/** @type {Map<string, Results>} */
const kept = new Map();

/** @param {string} key @returns {Results} */
function resultsOf(key) {
  const found = kept.get(key) ?? { items: [], more: true, complete: true, exact: true, begun: false, error: null, after: null, loading: null };
  kept.delete(key);
  kept.set(key, found);
  if (kept.size > KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
  return found;
}

/** What was shown last, for the page of an image to go on from. @type {any[]} */
let shown = [];
/** @param {any[]} items */
export const remember = (items) => void (shown = items);
/** The images before and after one among what was shown last. @param {string} bucket @param {string} key */
export function neighbours(bucket, key) {
  const at = shown.findIndex((each) => each.key === key && each.bucket === bucket);
  return { before: at > 0 ? shown[at - 1] : null, after: at >= 0 && at + 1 < shown.length ? shown[at + 1] : null };
}

/** Forget what was found: tags have changed. */
export function forget() {
  kept.clear();
  forgetDetails();
}

/** @param {import("./query.js").Search} search @param {Results} results @param {number} until wanted up to this item */
async function page(search, results, until) {
  const limit = results.begun ? Math.max(LEAST, Math.min(MOST, until - results.items.length + LEAST)) : FIRST;
  if (!isSearch(search)) {
    const filter = search.filter && JSON.stringify(search.filter);
    const found = await api.get("/v1/images", { filter, limit, after: results.after, order: "newest" });
    return { items: found.images, next: found.next, complete: true, exact: true };
  }
  const found = await api.post("/v1/search", { ...requestOf(search), limit, ...(results.after ? { after: results.after } : {}) });
  return { items: found.hits, next: found.next, complete: found.complete, exact: found.exact };
}

/** Pages until one has items: those of a filter that few images match may be empty. @param {import("./query.js").Search} search @param {Results} results @param {number} until */
async function some(search, results, until) {
  const before = results.items.length;
  do add(results, await page(search, results, until));
  while (results.more && results.items.length === before);
}

/** @param {Results} results @param {{items: any[], next: string | null, complete: boolean, exact: boolean}} found */
function add(results, found) {
  results.items = [...results.items, ...found.items];
  [results.after, results.more, results.begun] = [found.next, found.next !== null, true];
  results.complete &&= found.complete;
  results.exact &&= found.exact;
}

/**
 * The results of a search.
 * @param {import("./query.js").Search} search @param {string} key the same for the same search
 */
export function useResults(search, key) {
  const [, draw] = useReducer((/** @type {number} */ n) => n + 1, 0);
  const current = useRef("");
  if (current.current !== key) {
    current.current = key;
    if (!remembered(key)) kept.delete(key); // only who goes back sees what was found before
  }
  const results = resultsOf(key);
  const load = useCallback((until = 0) => {
    if (results.loading || !results.more || results.error) return;
    results.loading = some(search, results, until)
      .catch((error) => void (results.error = error))
      .finally(() => {
        results.loading = null;
        draw(0);
      });
    draw(0);
  }, [key]);
  useEffect(() => {
    if (!results.begun) load();
  }, [key]);
  const again = () => {
    results.error = null;
    load();
  };
  const look = () => {
    results.more = true; // where there was nothing, there may be something by now
    load();
  };
  const cut = results.items.findIndex((each) => typeof each.relevance === "number" && each.relevance < RELEVANT);
  return { ...results, busy: results.loading !== null, load, again, look, cut };
}
