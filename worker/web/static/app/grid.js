// A grid of pictures, up to a hundred thousand: only what is in view is in the document. The search and the review page share it.
import { html, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";
import { useKeys } from "./keys.js";
import { useLasso } from "./grid-lasso.js";
import { Layout, measure } from "./grid-layout.js";
import { remember, remembered, scroller } from "./grid-place.js";
import { Icon, Thumb } from "./ui.js";

/**
 * @typedef {object} GridHandle
 * @property {() => void} focus give the grid the keyboard
 * @property {(index: number) => void} moveTo focus an item and bring it into view
 * @property {() => number} focused index of the focused item
 */
/**
 * @typedef {object} GridProps
 * @property {string} label what the pictures are, for screen readers
 * @property {any[]} items what is loaded, in order; an item is an answer of the API with `bucket`, `key` and `links`
 * @property {string} [name] of the list: another one starts at its top, or where the browser's history says
 * @property {boolean} [more] whether there are items behind the loaded ones
 * @property {number} [total] how many there will be, if known: the scroll bar then has its final length at once
 * @property {(until: number) => void} [loadMore] load items up to this index; called again while they are missing
 * @property {number} [size] least width of a cell in pixels
 * @property {number} [footer] pixels below each picture, for what `renderFooter` returns
 * @property {import("./grid-layout.js").Divider[]} [dividers] lines between items
 * @property {(item: any) => string} [keyOf] identity of an item; its bucket and key, if left out
 * @property {(item: any) => string} [labelOf] what a screen reader says of an item
 * @property {(item: any, state: {selected: boolean, focused: boolean, index: number}) => any} [renderBadge] drawn over the picture
 * @property {(item: any) => any} [renderFooter]
 * @property {Set<string>} [selected] identities
 * @property {(selected: Set<string>) => void} [onSelect] left out: nothing can be selected
 * @property {"open" | "select"} [click] what a click does while nothing is selected; afterwards it selects
 * @property {(item: any, index: number) => void} [onOpen] Enter, or a click
 * @property {(item: any, index: number) => void} [onFocus] the focus moved
 * @property {(item: any | null, cell: HTMLElement | null) => void} [onHover] the pointer is over an item, or over none
 * @property {{current: GridHandle | null}} [handle]
 */

const identity = (/** @type {any} */ item) => `${item.bucket}/${item.key}`;
const AHEAD = 1; // windows above and below the view that are drawn as well, once it has been scrolled
const FAST = 8; // pixels in a millisecond: what flies past is not asked for
const TALLEST = 15_000_000; // pixels: browsers draw nothing behind some 17 million
const NONE = new Set();

/** @param {GridProps} props */
export function Grid(props) {
  const { label, items, name = "", more = false, total = 0, size = 168, footer = 0, dividers = [], keyOf = identity } = props;
  const { selected = NONE, onSelect, click = "open", onOpen, onFocus, onHover, renderBadge, renderFooter, labelOf } = props;
  const root = useRef(/** @type {HTMLDivElement | null} */ (null));
  const id = useId();
  const [width, setWidth] = useState(0);
  const [view, setView] = useState({ top: 0, bottom: 0 });
  const [focus, setFocus] = useState(0);
  const [reserved, setReserved] = useState(0);
  const anchor = useRef(0); // where a range began
  const place = useRef(/** @type {{first: number, offset: number} | null} */ (null));
  const pending = useRef(/** @type {import("./grid-place.js").Place | null} */ (null)); // to return to

  const gap = width < 600 ? 4 : 8;
  const measures = useMemo(() => measure(width || 1, width < 600 ? Math.min(size, (width - 2 * gap) / 3 - 1) : size, gap, footer), [width, size, footer]);
  const waiting = more ? Math.max(total - items.length, reserved - items.length, measures.columns * 2) : 0;
  const most = Math.floor(TALLEST / measures.pitch) * measures.columns;
  const count = Math.min(items.length + waiting, most);
  const lines = dividers.map((each) => `${each.before}:${each.height}`).join();
  const layout = useMemo(() => new Layout(count, measures, dividers), [count, measures, lines]);
  const at = Math.min(focus, Math.max(0, count - 1));

  const scrolledYet = useRef(false);
  const [fast, setFast] = useState(false);
  const pictured = useRef(/** @type {Set<number>} */ (new Set())); // cells that have their picture keep it
  // -- what is in view -------------------------------------------------------------------------------------------------
  const look = () => {
    const box = root.current?.getBoundingClientRect();
    if (!box) return;
    const ahead = scrolledYet.current ? innerHeight * AHEAD : 0; // the first view is to come quickly
    const strip = measures.pitch * 2; // drawn anew only after so many pixels
    const next = { top: Math.floor((-box.top - ahead) / strip) * strip, bottom: Math.ceil((innerHeight - box.top + ahead) / strip) * strip };
    setView((old) => (old.top === next.top && old.bottom === next.bottom ? old : next));
    const [row] = layout.between(Math.max(0, -box.top), innerHeight - box.top).filter((each) => !each.divider);
    if (row && !pending.current) place.current = { first: row.from, offset: row.top + box.top };
  };
  const latest = useRef({ look, focus: at });
  latest.current = { look, focus: at };

  const save = () => {
    if (place.current && !pending.current) remember(name, { ...place.current, focus: latest.current.focus });
  };
  useEffect(() => {
    /** @type {any} */
    let timer;
    let [top, at] = [0, performance.now()];
    const here = location.href;
    const settled = () => {
      setFast(false);
      if (location.href === here) save();
    };
    const scrolled = () => {
      scrolledYet.current = true;
      const [now, place] = [performance.now(), root.current?.getBoundingClientRect().top ?? 0];
      if (now > at && Math.abs(place - top) / (now - at) > FAST) setFast(true);
      [top, at] = [place, now];
      latest.current.look();
      clearTimeout(timer);
      timer = setTimeout(settled, 150);
    };
    document.addEventListener("scroll", scrolled, { capture: true, passive: true });
    addEventListener("resize", scrolled);
    document.addEventListener("click", settled, true);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("scroll", scrolled, { capture: true });
      removeEventListener("resize", scrolled);
      document.removeEventListener("click", settled, true);
    };
  }, [name]);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    if (root.current) observer.observe(root.current);
    return () => observer.disconnect();
  }, []);

  // -- the same place after going back, and after the window became wider ----------------------------------------------
  const scrollBy = (/** @type {number} */ pixels) => root.current && scroller(root.current).scrollBy(0, pixels);
  const bring = (/** @type {{first: number, offset: number}} */ to) => {
    if (!root.current || !count) return;
    const wanted = layout.place(Math.min(to.first, count - 1)).top + root.current.getBoundingClientRect().top;
    scrollBy(wanted - to.offset);
  };
  useLayoutEffect(() => {
    const before = remembered(name);
    history.scrollRestoration = "manual";
    [anchor.current, place.current, pending.current] = [before?.focus ?? 0, null, before];
    setFocus(before?.focus ?? 0);
    setReserved(before ? Math.max(before.first, before.focus) + 1 : 0);
  }, [name]);
  useLayoutEffect(() => {
    const back = pending.current;
    if (back && width && count > back.first) {
      bring(back);
      pending.current = null;
    }
    look();
  }, [name, width, count, lines]);
  const drawn = useRef(0);
  useLayoutEffect(() => {
    if (drawn.current && drawn.current !== width && place.current) bring(place.current);
    drawn.current = width;
  }, [width]);

  const last = layout.between(view.top, view.bottom).at(-1)?.to ?? 0;
  useEffect(() => {
    if (more && width && Math.max(last, reserved) >= items.length) props.loadMore?.(Math.max(last, reserved));
  }, [name, more, width, last, reserved, items.length]);

  // -- focus -----------------------------------------------------------------------------------------------------------
  const moved = useRef(false);
  const moveTo = (/** @type {number} */ index) => {
    const next = Math.max(0, Math.min(index, items.length - 1));
    moved.current = true;
    setFocus(next);
    if (next !== at && items[next]) onFocus?.(items[next], next);
    return next;
  };
  useLayoutEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    document.getElementById(`${id}-${at}`)?.scrollIntoView({ block: "nearest" });
  });
  const take = () => root.current?.focus({ preventScroll: true });
  if (props.handle) props.handle.current = { focus: take, moveTo: (index) => void moveTo(index), focused: () => latest.current.focus };

  // -- selection -------------------------------------------------------------------------------------------------------
  const keys = (/** @type {number} */ from, /** @type {number} */ to) =>
    items.slice(Math.min(from, to), Math.max(from, to) + 1).filter(Boolean).map(keyOf);
  const toggle = (/** @type {number} */ index) => {
    if (!onSelect || !items[index]) return;
    const [next, key] = [new Set(selected), keyOf(items[index])];
    if (!next.delete(key)) next.add(key);
    anchor.current = index;
    onSelect(next);
  };
  const extend = (/** @type {number} */ index) => onSelect?.(new Set([...selected, ...keys(anchor.current, index)]));
  const base = useRef({ keys: selected, without: false });
  const lasso = useLasso(root, onSelect ? {
    begin: (event) => {
      const kept = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
      base.current = { keys: kept ? selected : NONE, without: event.altKey };
    },
    cover: (area) => {
      const next = new Set(base.current.keys);
      for (const index of layout.within(area)) {
        if (!items[index]) continue;
        if (base.current.without) next.delete(keyOf(items[index]));
        else next.add(keyOf(items[index]));
      }
      onSelect(next);
    },
    scroll: scrollBy,
  } : null);

  const onClick = (/** @type {MouseEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const cell = /** @type {HTMLElement | null} */ (target.closest("[data-index]"));
    if (lasso.justDragged() || !cell) return;
    const index = Number(cell.dataset.index);
    const check = target.closest(".check");
    if (!check && target.closest("button, a, input, select")) return;
    take();
    setFocus(index);
    if (items[index]) onFocus?.(items[index], index);
    if (event.shiftKey && onSelect) extend(index);
    else if (onSelect && (check || event.ctrlKey || event.metaKey || click === "select" || selected.size > 0)) toggle(index);
    else if (items[index]) open(index);
  };
  const open = (/** @type {number} */ index) => {
    save();
    onOpen?.(items[index], index);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== root.current || event.altKey) return;
    const command = event.ctrlKey || event.metaKey;
    const page = Math.max(1, Math.floor(innerHeight / measures.pitch) - 1);
    /** @type {Record<string, () => number>} */
    const moves = {
      ArrowLeft: () => at - 1, ArrowRight: () => at + 1, Home: () => 0, End: () => items.length - 1,
      ArrowUp: () => layout.vertical(at, -1), ArrowDown: () => layout.vertical(at, 1),
      PageUp: () => layout.vertical(at, -page), PageDown: () => layout.vertical(at, page),
    };
    if (moves[event.key] && items.length) {
      if (!event.shiftKey) anchor.current = moveTo(moves[event.key]());
      else extend(moveTo(moves[event.key]()));
    } else if (event.key === "Enter" && !command && items[at]) open(at);
    else if (event.key === " " && onSelect) (event.shiftKey ? extend : toggle)(at);
    else if (event.key === "a" && command && onSelect) onSelect(new Set(items.filter(Boolean).map(keyOf)));
    else if (event.key === "Escape" && onSelect && selected.size) onSelect(new Set());
    else return;
    event.preventDefault();
  };
  useKeys([
    { key: "← ↑ → ↓", does: "move among the pictures; also Home, End, Page Up, Page Down", run: take },
    { key: "↵ Enter", does: "open the picture", run: take },
    ...(onSelect ? [
      { key: "␣ Space", does: "select the picture; Shift with arrows, or a click: a range", run: take },
      { key: "Ctrl+a", does: "select all that are loaded", run: () => (take(), onSelect(new Set(items.filter(Boolean).map(keyOf)))) },
      { key: "Escape", does: "select none", run: () => onSelect(new Set()) },
    ] : []),
    ...["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => ({ key, does: "", hidden: true, run: () => (take(), moveTo(at)) })),
  ]);

  // -- drawing ---------------------------------------------------------------------------------------------------------
  const rows = width ? layout.between(view.top, view.bottom) : [];
  if (width && count && !rows.some((row) => row.from <= at && at < row.to)) rows.push(layout.rowOf(at));
  if (!fast) pictured.current = new Set(rows.flatMap((row) => Array.from({ length: row.to - row.from }, (_, position) => row.from + position)));
  const cellOf = (/** @type {number} */ index) => {
    const item = items[index];
    const state = { selected: Boolean(item) && selected.has(keyOf(item)), focused: index === at, index };
    const style = { width: `${measures.cell}px`, height: `${measures.height}px`, left: `${layout.place(index).left}px` };
    return html`<div key=${index} id=${`${id}-${index}`} role="gridcell" data-index=${index} style=${style}
      class=${`cell${state.focused ? " focused" : ""}${state.selected ? " selected" : ""}`}
      aria-colindex=${layout.place(index).column + 1} aria-selected=${onSelect ? state.selected : null} aria-busy=${item ? null : true}
      aria-label=${item ? (labelOf ?? identity)(item) : "loading"} onMouseEnter=${(/** @type {MouseEvent} */ event) => item && onHover?.(item, /** @type {HTMLElement} */ (event.currentTarget))}>
      ${item && html`<div class="frame" style=${{ height: `${measures.cell}px` }}>${pictured.current.has(index) && html`<${Thumb} image=${item} alt="" />`}
        ${onSelect && html`<button type="button" class="check" tabindex="-1" aria-label=${state.selected ? "Unselect" : "Select"}><${Icon} name="check" /></button>`}
        ${renderBadge?.(item, state)}</div>${renderFooter?.(item)}`}
    </div>`;
  };
  return html`<div ref=${root} class="grid" role="grid" tabindex="0" aria-label=${label} aria-multiselectable=${onSelect ? true : null}
    aria-rowcount=${layout.rows} aria-colcount=${measures.columns} aria-activedescendant=${count ? `${id}-${at}` : null}
    style=${{ height: `${layout.height}px` }} onKeyDown=${onKeyDown} onClick=${onClick} onFocus=${() => items[at] && onFocus?.(items[at], at)} onPointerDown=${lasso.onPointerDown}
    onMouseLeave=${() => onHover?.(null, null)}>
    ${rows.sort((one, other) => one.row - other.row).map((row) => html`<div key=${row.divider ? `line ${row.from}` : row.row} role="row" class="grid-row"
      aria-rowindex=${row.row + 1} style=${{ top: `${row.top}px`, height: `${row.divider ? row.divider.height : measures.height}px` }}>
      ${row.divider
        ? html`<div role="gridcell" class="grid-line" aria-colspan=${measures.columns}>${row.divider.content}</div>`
        : Array.from({ length: row.to - row.from }, (_, position) => cellOf(row.from + position))}
    </div>`)}
    ${lasso.area && html`<div class="lasso" style=${{ left: `${lasso.area.left}px`, top: `${lasso.area.top}px`, width: `${lasso.area.right - lasso.area.left}px`, height: `${lasso.area.bottom - lasso.area.top}px` }}></div>`}
  </div>`;
}
