// The pictures of one page: all in view at once where they fit, each as large as possible.
import { address } from "../../app/api.js";
import { useLasso } from "../../app/grid-lasso.js";
import { h, html, useEffect, useLayoutEffect, useRef, useState } from "../../app/lib.js";
import { idOf } from "./work.js";

/** @typedef {import("./work.js").Item} Item @typedef {import("./work.js").Verdict} Verdict */

const GAP = 4; // pixels
const LEAST = 104; // pixels: narrower pictures cannot be judged
const MOST = 380;
const RATIO = 4 / 3; // of a tile
const LARGE = 320; // pixels of the screen: wider tiles show previews instead of thumbnails
const LONG_PRESS = 450; // milliseconds

/** Columns, and pixels of a tile: the widest with which all fit; if even the narrowest do not, the page scrolls. @param {number} count @param {number} width @param {number} height */
export function layout(count, width, height) {
  const tile = (/** @type {number} */ columns) => Math.min(MOST, (width - GAP * (columns - 1)) / columns);
  const most = Math.max(2, Math.floor((width + GAP) / (LEAST + GAP)));
  for (let columns = 1; columns <= most; columns++) {
    const rows = Math.ceil(count / columns);
    if (rows * (tile(columns) / RATIO + GAP) - GAP <= height) return { columns, width: Math.floor(tile(columns)) };
  }
  return { columns: most, width: Math.floor(tile(most)) };
}

/** The room for pictures. @param {{current: HTMLElement | null}} grid @param {number} count */
function useLayout(grid, count) {
  const [found, setFound] = useState({ columns: 6, width: 160 });
  useLayoutEffect(() => {
    const measure = () => {
      const outer = grid.current?.parentElement;
      if (!outer || !grid.current) return;
      const top = grid.current.getBoundingClientRect().top + scrollY;
      const bar = document.querySelector(".review-bar")?.getBoundingClientRect().height ?? 0;
      const next = layout(count, outer.clientWidth, innerHeight - top - bar - 12);
      setFound((old) => (old.columns === next.columns && old.width === next.width ? old : next));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    addEventListener("resize", measure);
    return () => (observer.disconnect(), removeEventListener("resize", measure));
  }, [count]);
  return found;
}

/** Indexes of the tiles that touch a rectangle. @param {HTMLElement} grid @param {import("../../app/grid-lasso.js").Area} area */
function touched(grid, { left, top, right, bottom }) {
  return [...grid.querySelectorAll("[role=option]")].flatMap((each, index) => {
    const { offsetLeft: x, offsetTop: y, offsetWidth: w, offsetHeight: h } = /** @type {HTMLElement} */ (each);
    return x < right && x + w > left && y < bottom && y + h > top ? [index] : [];
  });
}

/** A press of some length, by touch. @param {() => void} run */
function useLongPress(run) {
  const timer = useRef(/** @type {any} */ (null));
  const fired = useRef(false);
  const stop = () => clearTimeout(timer.current);
  const start = (/** @type {PointerEvent} */ event) => {
    fired.current = false;
    if (event.pointerType === "touch") timer.current = setTimeout(() => ((fired.current = true), run()), LONG_PRESS);
  };
  return { start, stop, fired };
}

/**
 * @param {{items: Item[], verdicts: Verdict[], at: number, selected: Set<number>, label: string, what: (verdict: Verdict) => string, usual: string,
 *   caption: (item: Item) => string, readOnly: boolean, press: (index: number, event: {shiftKey: boolean}) => void, sweep: (indexes: number[], begins: boolean) => void,
 *   enlarge: (index: number) => void, sized: (large: boolean) => void}} props
 */
export function Tiles({ items, verdicts, at, selected, label, what, usual, caption, readOnly, press, sweep, enlarge, sized }) {
  const grid = useRef(/** @type {HTMLElement | null} */ (null));
  const { columns, width } = useLayout(grid, items.length);
  const large = width * devicePixelRatio > LARGE;
  useEffect(() => sized(large), [large]);
  const begins = useRef(false);
  const lasso = useLasso(grid, readOnly ? null : {
    begin: () => (begins.current = true),
    cover: (area) => {
      const found = grid.current ? touched(grid.current, area) : [];
      if (found.length) (sweep(found, begins.current), (begins.current = false));
    },
    scroll: (pixels) => scrollBy(0, pixels),
  });
  useEffect(() => {
    const own = grid.current?.querySelector(`[data-index="${at}"]`);
    const held = document.activeElement;
    const free = !held || held === document.body || grid.current?.contains(held) || held.matches(".review-bar button, main");
    if (own instanceof HTMLElement && free) own.focus({ preventScroll: false });
  }, [at, items]);
  return html`<div ref=${grid} class=${`tiles ${readOnly ? "still" : ""}`} role="listbox" aria-multiselectable="true" aria-label=${label} data-columns=${columns}
    onPointerDown=${lasso.onPointerDown} style=${{ gridTemplateColumns: `repeat(${columns}, ${width}px)` }}>
    ${items.map((item, index) => html`<${Tile} key=${index} item=${item} index=${index} verdict=${verdicts[index]} what=${what(verdicts[index])} usual=${usual}
      focused=${index === at} selected=${selected.has(index)} caption=${caption(item)} large=${large}
      press=${(/** @type {any} */ event) => lasso.justDragged() || press(index, event)} enlarge=${() => enlarge(index)} />`)}
    ${lasso.area && html`<div class="lasso" style=${box(lasso.area)}></div>`}
  </div>`;
}

/** @param {import("../../app/grid-lasso.js").Area} area */
const box = ({ left, top, right, bottom }) => ({ left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });

/** One picture. The element stays when another page comes, and the focus with it. @param {any} props */
function Tile({ item, index, verdict, what, usual, focused, selected, caption, large, press, enlarge }) {
  const long = useLongPress(enlarge);
  const quiet = verdict.kind === usual;
  const click = (/** @type {MouseEvent} */ event) => (long.fired.current ? (long.fired.current = false) : press(event));
  return html`<div class=${`tile ${quiet ? "" : verdict.kind === "skip" ? "alone" : verdict.kind} ${selected ? "selected" : ""}`} role="option" aria-selected=${!quiet}
    tabindex=${focused ? 0 : -1} data-index=${index} title=${item.why} aria-label=${`${item.key}: ${what}`}
    onClick=${click} onPointerDown=${long.start} onPointerUp=${long.stop} onPointerCancel=${long.stop} onPointerMove=${(/** @type {PointerEvent} */ event) => Math.hypot(event.movementX, event.movementY) > 3 && long.stop()}
    onContextMenu=${(/** @type {Event} */ event) => long.fired.current && event.preventDefault()}>
    <${Picture} key=${idOf(item)} item=${item} large=${large} />
    ${!quiet && html`<span class="said">${what}</span>`}
    ${caption && html`<span class="caption">${caption}</span>`}
  </div>`;
}

/** @param {{item: Item, large: boolean}} props */
export function Picture({ item, large }) {
  const [failed, setFailed] = useState(false);
  if (failed || !item.links) return html`<span class="thumb none">no preview</span>`;
  const source = address(large ? item.links.preview : item.links.thumbnail);
  return h("img", { src: source, alt: "", decoding: "async", draggable: false, onError: () => setFailed(true) });
}
