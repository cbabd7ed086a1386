// Drag a rectangle over the cells of a grid to select them.
import { useEffect, useRef, useState } from "./lib.js";

const STARTS_AFTER = 6; // pixels: less is a click
const EDGE = 48; // pixels from the edge of the window where dragging scrolls

/** @typedef {{left: number, top: number, right: number, bottom: number}} Area in pixels of the grid */

/**
 * @param {{current: HTMLElement | null}} grid
 * @param {{begin: (event: PointerEvent) => void, cover: (area: Area) => void, scroll: (pixels: number) => void} | null} use
 *   null: nothing can be selected. `begin` is called once per drag, `cover` whenever the rectangle changed.
 * @returns {{area: Area | null, onPointerDown: (event: PointerEvent) => void, justDragged: () => boolean}}
 */
export function useLasso(grid, use) {
  const [area, setArea] = useState(/** @type {Area | null} */ (null));
  const latest = useRef(use);
  latest.current = use;
  const drag = useRef(/** @type {{x: number, y: number, clientX: number, clientY: number, event: PointerEvent, begun: boolean, timer: any} | null} */ (null));
  const ended = useRef(0);

  /** @param {number} clientX @param {number} clientY */
  const inside = (clientX, clientY) => {
    const box = /** @type {HTMLElement} */ (grid.current).getBoundingClientRect();
    return { x: clientX - box.left, y: clientY - box.top };
  };
  const draw = () => {
    const held = drag.current;
    if (!held || !grid.current) return;
    const now = inside(held.clientX, held.clientY);
    const next = {
      left: Math.min(held.x, now.x), right: Math.max(held.x, now.x), top: Math.min(held.y, now.y), bottom: Math.max(held.y, now.y),
    };
    setArea(next);
    latest.current?.cover(next);
  };
  const move = (/** @type {PointerEvent} */ event) => {
    const held = drag.current;
    if (!held) return;
    [held.clientX, held.clientY] = [event.clientX, event.clientY];
    if (!held.begun) {
      const [across, down] = [event.clientX - held.event.clientX, event.clientY - held.event.clientY];
      if (Math.hypot(across, down) < STARTS_AFTER) return;
      held.begun = true;
      latest.current?.begin(held.event);
      held.timer = setInterval(() => {
        const past = held.clientY > innerHeight - EDGE ? held.clientY - innerHeight + EDGE : Math.min(0, held.clientY - EDGE);
        if (past) latest.current?.scroll(Math.sign(past) * Math.min(40, Math.abs(past) / 2 + 4));
        if (past) draw();
      }, 16);
    }
    draw();
  };
  const end = () => {
    const held = drag.current;
    drag.current = null;
    if (held?.begun) {
      clearInterval(held.timer);
      ended.current = performance.now();
      setArea(null);
    }
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
  };
  useEffect(() => end, []);

  const onPointerDown = (/** @type {PointerEvent} */ event) => {
    if (!latest.current || event.button !== 0 || event.pointerType === "touch" || !grid.current) return;
    if (/** @type {Element} */ (event.target).closest("button:not(.check), input, select, a")) return;
    const { clientX, clientY } = event;
    drag.current = { ...inside(clientX, clientY), clientX, clientY, event, begun: false, timer: null };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  };
  return { area, onPointerDown, justDragged: () => performance.now() - ended.current < 50 };
}
