// Where one was in a grid, kept with the entry of the browser's history: going back returns there.

/** @typedef {{first: number, offset: number, focus: number}} Place the first item in view, its pixels from the top of the window, the focused item */

/** @param {string} name @returns {Place | null} */
export function remembered(name) {
  return history.state?.places?.[name] ?? null;
}

/** @param {string} name @param {Place} place */
export function remember(name, place) {
  history.replaceState({ ...history.state, places: { ...history.state?.places, [name]: place } }, "");
}

/** What scrolls an element: an ancestor, or the window. @param {HTMLElement} element @returns {HTMLElement} */
export function scroller(element) {
  for (let each = element.parentElement; each && each !== document.body; each = each.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(each).overflowY) && each.scrollHeight > each.clientHeight) return each;
  }
  return /** @type {HTMLElement} */ (document.scrollingElement);
}
