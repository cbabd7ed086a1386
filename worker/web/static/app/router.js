// Addresses: the first part names the page, the query is its state. The back button always leads where one came from.
import { useEffect, useState } from "./lib.js";

/** @typedef {{page: string, query: URLSearchParams}} Route */

const changed = new EventTarget();

/** The prefix that a proxy may have added, with a slash at its end. */
function base() {
  return new URL("./", document.baseURI).pathname;
}

/** @returns {Route} */
export function current() {
  const page = location.pathname.slice(base().length) || "search";
  return { page, query: new URLSearchParams(location.search) };
}

/**
 * The relative address of a page, for `href`.
 * @param {string} page
 * @param {Record<string, any> | URLSearchParams} [query] empty values are left out
 */
export function link(page, query = {}) {
  const search = query instanceof URLSearchParams ? query : new URLSearchParams();
  if (!(query instanceof URLSearchParams)) {
    for (const [name, value] of Object.entries(query)) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== undefined && each !== null && each !== "") search.append(name, String(each));
      }
    }
  }
  const text = search.toString();
  return (page === "search" ? "./" : page) + (text ? `?${text}` : "");
}

/** Go to a page, or change the query of this one. @param {string} to from `link` @param {{replace?: boolean}} [how] */
export function navigate(to, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  changed.dispatchEvent(new Event("change"));
}

/** The route now, and again whenever it changes. */
export function useRoute() {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const update = () => setRoute(current());
    window.addEventListener("popstate", update);
    changed.addEventListener("change", update);
    return () => {
      window.removeEventListener("popstate", update);
      changed.removeEventListener("change", update);
    };
  }, []);
  return route;
}

/** Links between pages change the address without loading everything anew. @param {MouseEvent} event */
export function followLinks(event) {
  const target = /** @type {Element} */ (event.target).closest("a[href]");
  if (!(target instanceof HTMLAnchorElement) || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || target.target || target.download) return;
  const to = new URL(target.href);
  const rest = to.pathname.slice(base().length);
  if (to.origin !== location.origin || !to.pathname.startsWith(base()) || !PAGES.has(rest) || to.hash) return;
  event.preventDefault();
  navigate(to.href);
  scrollTo(0, 0);
}

const PAGES = new Set(["", "image", "review", "taxonomies", "map", "operations", "login"]);
