// The canvas and the hands on it: mouse, touch and keys move the view, point at images and draw outlines around them.
import { Scatter } from "./scatter.js";
import { bounds, Cells, fitted, moved, pixelOf, placeAt, pointSize, STEPS, zoomed } from "./view.js";

/**
 * @typedef {object} Handlers
 * @property {(at: At) => void} hover the point under the pointer
 * @property {(at: At) => void} pick a point was clicked
 * @property {() => void} move the view has changed: points lie elsewhere
 * @property {(points: Uint32Array) => void} select an outline was closed around these
 */

/** @typedef {{point: number, x: number, y: number}} At a point and its pixel; the point is -1: none */

/** Pixels around a pointer, and around a finger, in which a point is found. */
const NEAR = { mouse: 8, pen: 12, touch: 18 };
/** A pointer that moved less has clicked. */
const CLICK = 5;
const STEP = 60;
/** Height of the buttons at the top. */
const TOOLS = 48;

export class Chart {
  /** @type {import("./view.js").View} */ view = { x: 0.5, y: 0.5, scale: 500 };
  /** @type {"move" | "outline"} */ mode = "move";
  /** @type {Uint16Array} */ #places = new Uint16Array();
  /** @type {Uint8Array} */ #colours = new Uint8Array();
  /** @type {Uint8Array} */ #palette = Uint8Array.from({ length: 1024 }, () => 140); // grey, until the colours are there
  #cells = new Cells(this.#places);
  /** @type {Map<number, {x: number, y: number}>} */ #fingers = new Map();
  /** @type {{x: number, y: number, far: boolean, outline: {x: number, y: number}[] | null} | null} */ #gesture = null;
  #hovered = -1;
  #ends = new AbortController();

  /** @param {HTMLElement} stage has the focus @param {HTMLCanvasElement} canvas @param {SVGPathElement} path for outlines @param {Handlers} handlers */
  constructor(stage, canvas, path, handlers) {
    this.stage = stage;
    this.path = path;
    this.handlers = handlers;
    this.scatter = new Scatter(canvas);
    this.scatter.setColours(this.#colours, this.#palette);
    const { signal } = this.#ends;
    stage.addEventListener("pointerdown", (event) => this.#down(event), { signal });
    stage.addEventListener("pointermove", (event) => this.#move(event), { signal });
    stage.addEventListener("pointerup", (event) => this.#up(event), { signal });
    stage.addEventListener("pointercancel", (event) => this.#cancel(event), { signal });
    stage.addEventListener("pointerleave", () => this.#hover(-1), { signal });
    stage.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
    stage.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.observer = new ResizeObserver(() => this.show(this.view));
    this.observer.observe(stage);
  }

  close() {
    this.#ends.abort();
    this.observer.disconnect();
    this.scatter.close();
  }

  get size() {
    return { width: this.stage.clientWidth, height: this.stage.clientHeight };
  }

  // -- what is shown -----------------------------------------------------------------------------------------------------
  /** @param {Uint16Array} places x and y of each point @param {boolean} stay in the view that is shown */
  setPlaces(places, stay) {
    this.#places = places;
    this.#cells = new Cells(places);
    this.#colours = new Uint8Array(places.length / 2);
    this.scatter.setPlaces(places);
    if (stay) this.show(this.view);
    else this.fit();
  }

  /** @param {Uint8Array} colours a number for each point @param {Uint8Array} palette */
  setColours(colours, palette) {
    if (2 * colours.length !== this.#places.length) return;
    this.#colours = colours;
    this.#palette = palette;
    this.scatter.setColours(colours, palette);
  }

  /** @param {Uint32Array | null} points */
  choose(points) {
    this.scatter.choose(points);
  }

  /** Whether a point is neither hidden nor gone. @param {number} point */
  isShown = (point) => this.#palette[4 * this.#colours[point] + 3] > 0;

  /** @param {import("./view.js").View} view */
  show(view) {
    if (view !== this.view) this.handlers.move();
    this.view = view;
    this.scatter.show(view, pointSize(view, this.size, this.#places.length / 2));
  }

  /** All points, below the buttons. */
  fit() {
    const { width, height } = this.size;
    const view = fitted({ width, height: Math.max(height - TOOLS, 1) }, bounds(this.#places));
    this.show({ ...view, y: view.y - TOOLS / 2 / view.scale });
  }

  /** Around the middle. @param {number} factor */
  zoom(factor) {
    this.show(zoomed(this.view, this.size, factor, this.size.width / 2, this.size.height / 2));
  }

  /** All shown points in view, for those who cannot draw an outline. */
  visible() {
    const { width, height } = this.size;
    const corners = [[0, 0], [width, 0], [width, height], [0, height]];
    return this.#cells.inside(corners.map(([x, y]) => placeAt(this.view, this.size, x, y)), this.isShown);
  }

  /** The point nearest to a pixel; -1: none is near. @param {number} x @param {number} y @param {number} radius in pixels */
  pointAt(x, y, radius) {
    const at = placeAt(this.view, this.size, x, y);
    return this.#cells.nearest(at.x, at.y, radius / this.view.scale, this.isShown);
  }

  /** The point nearest to the middle of the view, and its pixel; null: none is near. */
  middle() {
    const { width, height } = this.size;
    const point = this.pointAt(width / 2, height / 2, Math.min(width, height) / 2);
    return point < 0 ? null : this.#at(point);
  }

  /** @param {number} point @returns {At} */
  #at(point) {
    if (point < 0) return { point, x: 0, y: 0 };
    const [x, y] = [this.#places[2 * point] / STEPS, this.#places[2 * point + 1] / STEPS];
    return { point, ...pixelOf(this.view, this.size, x, y) };
  }

  // -- pointers ----------------------------------------------------------------------------------------------------------
  /** @param {PointerEvent | WheelEvent} event */
  #pixel(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left - this.stage.clientLeft, y: event.clientY - box.top - this.stage.clientTop };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0 || /** @type {Element} */ (event.target).closest("button, a, .map-card")) return;
    const at = this.#pixel(event);
    this.stage.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, at);
    const outlining = this.#fingers.size === 1 && (this.mode === "outline" || event.shiftKey);
    this.#gesture = { ...at, far: this.#fingers.size > 1, outline: outlining ? [at] : null };
    this.#trace();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const at = this.#pixel(event);
    const before = this.#fingers.get(event.pointerId);
    if (!before || !this.#gesture) {
      if (event.pointerType === "mouse") this.#hover(this.pointAt(at.x, at.y, NEAR.mouse));
      return;
    }
    if (Math.hypot(at.x - this.#gesture.x, at.y - this.#gesture.y) > CLICK) this.#gesture.far = true;
    if (this.#gesture.outline) {
      const last = this.#gesture.outline[this.#gesture.outline.length - 1];
      if (Math.hypot(at.x - last.x, at.y - last.y) > 2) this.#gesture.outline.push(at);
      this.#trace();
    } else if (this.#fingers.size > 1) this.#pinch(event.pointerId, before, at);
    else if (this.#gesture.far) this.show(moved(this.view, at.x - before.x, at.y - before.y));
    this.#fingers.set(event.pointerId, at);
    this.#hover(-1);
  }

  /** @param {number} id @param {{x: number, y: number}} before @param {{x: number, y: number}} at */
  #pinch(id, before, at) {
    const other = [...this.#fingers].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const factor = Math.hypot(at.x - other.x, at.y - other.y) / Math.max(Math.hypot(before.x - other.x, before.y - other.y), 1);
    const view = zoomed(this.view, this.size, factor, (at.x + other.x) / 2, (at.y + other.y) / 2);
    this.show(moved(view, (at.x - before.x) / 2, (at.y - before.y) / 2));
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (!this.#fingers.delete(event.pointerId) || !this.#gesture || this.#fingers.size) return;
    const { far, outline } = this.#gesture;
    this.#gesture = null;
    this.#trace();
    const at = this.#pixel(event);
    if (far && outline) {
      const places = outline.map(({ x, y }) => placeAt(this.view, this.size, x, y));
      this.handlers.select(this.#cells.inside(places, this.isShown));
    } else if (!far) {
      const near = NEAR[/** @type {keyof typeof NEAR} */ (event.pointerType)] ?? NEAR.mouse;
      this.handlers.pick(this.#at(this.pointAt(at.x, at.y, near)));
    }
  }

  /** @param {PointerEvent} event */
  #cancel(event) {
    this.#fingers.delete(event.pointerId);
    this.#gesture = null;
    this.#trace();
  }

  /** The outline as it is drawn. */
  #trace() {
    const outline = this.#gesture?.outline;
    this.path.setAttribute("d", outline ? `M${outline.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}` : "");
  }

  /** @param {number} point */
  #hover(point) {
    if (point === this.#hovered) return;
    this.#hovered = point;
    this.handlers.hover(this.#at(point));
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const at = this.#pixel(event);
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.show(zoomed(this.view, this.size, Math.exp(-event.deltaY * lines * 0.0016), at.x, at.y));
    this.#hover(-1);
  }

  // -- keys --------------------------------------------------------------------------------------------------------------
  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 3 * STEP : STEP;
    const by = /** @type {Record<string, () => void>} */ ({
      ArrowLeft: () => this.show(moved(this.view, step, 0)),
      ArrowRight: () => this.show(moved(this.view, -step, 0)),
      ArrowUp: () => this.show(moved(this.view, 0, step)),
      ArrowDown: () => this.show(moved(this.view, 0, -step)),
      "+": () => this.zoom(1.5),
      "=": () => this.zoom(1.5),
      "-": () => this.zoom(1 / 1.5),
    })[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    by();
  }
}
