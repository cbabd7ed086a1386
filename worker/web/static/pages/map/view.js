// Where points are on the screen, which of them are under a pointer, and which are inside of an outline. No drawing here.
// Places are numbers from 0 to 1 on both axes; y points down. Pixels are CSS pixels, from the corner of the canvas.

/** @typedef {{x: number, y: number, scale: number}} View the place in the middle, and pixels per unit */
/** @typedef {{width: number, height: number}} Size of the canvas */

/** Places are kept as whole numbers up to this. */
export const STEPS = 65535;
/** Closer than this, the grid on which places are kept would be seen. */
const CLOSEST = 20_000;

/**
 * Everything in view, with a margin.
 * @param {Size} size @param {{left: number, top: number, right: number, bottom: number}} box of places
 * @returns {View}
 */
export function fitted(size, box) {
  const width = Math.max(box.right - box.left, 0.001);
  const height = Math.max(box.bottom - box.top, 0.001);
  const scale = Math.min(size.width / width, size.height / height) * 0.92;
  return { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, scale: Math.min(scale, CLOSEST) };
}

/** The square that contains all points. @param {Uint16Array} places x and y of each */
export function bounds(places) {
  let [left, top, right, bottom] = [STEPS, STEPS, 0, 0];
  for (let at = 0; at < places.length; at += 2) {
    const [x, y] = [places[at], places[at + 1]];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < top) top = y;
    if (y > bottom) bottom = y;
  }
  if (!places.length) return { left: 0, top: 0, right: 1, bottom: 1 };
  return { left: left / STEPS, top: top / STEPS, right: right / STEPS, bottom: bottom / STEPS };
}

/** The place at a pixel. @param {View} view @param {Size} size @param {number} px @param {number} py */
export function placeAt(view, size, px, py) {
  return { x: view.x + (px - size.width / 2) / view.scale, y: view.y + (py - size.height / 2) / view.scale };
}

/** The pixel of a place. @param {View} view @param {Size} size @param {number} x @param {number} y */
export function pixelOf(view, size, x, y) {
  return { x: (x - view.x) * view.scale + size.width / 2, y: (y - view.y) * view.scale + size.height / 2 };
}

/** @param {View} view @param {number} dx pixels @param {number} dy @returns {View} */
export function moved(view, dx, dy) {
  return bounded({ ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale });
}

/** Closer or farther; the place under the pixel stays there. @param {View} view @param {Size} size @param {number} factor @param {number} px @param {number} py @returns {View} */
export function zoomed(view, size, factor, px, py) {
  const farthest = Math.min(size.width, size.height) / 3;
  const scale = Math.min(Math.max(view.scale * factor, farthest), CLOSEST);
  const at = placeAt(view, size, px, py);
  return bounded({
    scale,
    x: at.x - (px - size.width / 2) / scale,
    y: at.y - (py - size.height / 2) / scale,
  });
}

/** The map cannot be lost: its square stays near the middle. @param {View} view @returns {View} */
function bounded(view) {
  const near = (/** @type {number} */ value) => Math.min(Math.max(value, -0.2), 1.2);
  return { ...view, x: near(view.x), y: near(view.y) };
}

/** Pixels across a point: small where there are many, larger when one comes closer. @param {View} view @param {Size} size @param {number} count */
export function pointSize(view, size, count) {
  const closer = view.scale / Math.max(Math.min(size.width, size.height), 1);
  const far = count > 300_000 ? 1.5 : count > 50_000 ? 2 : count > 5_000 ? 3.5 : count > 500 ? 6 : 10;
  return Math.min(Math.max(far * Math.sqrt(closer), far), 18);
}

// -- which points --------------------------------------------------------------------------------------------------------
/** Points by the cell that they lie in, to find those near a place without looking at all of them. */
export class Cells {
  /** @param {Uint16Array} places x and y of each point */
  constructor(places) {
    this.places = places;
    const count = places.length / 2;
    this.side = Math.min(Math.max(Math.ceil(Math.sqrt(count / 4)), 1), 512);
    this.first = new Uint32Array(this.side * this.side + 1);
    const cell = new Uint32Array(count);
    for (let point = 0; point < count; point++) {
      cell[point] = this.#of(places[2 * point]) + this.side * this.#of(places[2 * point + 1]);
      this.first[cell[point] + 1]++;
    }
    for (let at = 1; at < this.first.length; at++) this.first[at] += this.first[at - 1];
    const next = this.first.slice();
    this.points = new Uint32Array(count);
    for (let point = 0; point < count; point++) this.points[next[cell[point]]++] = point;
  }

  /** @param {number} step */
  #of(step) {
    return Math.min(Math.max(Math.floor((step / (STEPS + 1)) * this.side), 0), this.side - 1);
  }

  /**
   * Call `each` with every point whose cell touches a box of places.
   * @param {{left: number, top: number, right: number, bottom: number}} box @param {(point: number) => void} each
   */
  within(box, each) {
    const [left, right] = [this.#of(box.left * STEPS), this.#of(box.right * STEPS)];
    const [top, bottom] = [this.#of(box.top * STEPS), this.#of(box.bottom * STEPS)];
    for (let row = top; row <= bottom; row++) {
      const [from, to] = [this.first[row * this.side + left], this.first[row * this.side + right + 1]];
      for (let at = from; at < to; at++) each(this.points[at]);
    }
  }

  /**
   * The point nearest to a place; -1: none is within `radius`.
   * @param {number} x @param {number} y @param {number} radius @param {(point: number) => boolean} shown
   */
  nearest(x, y, radius, shown) {
    let [found, best] = [-1, radius * radius];
    this.within({ left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }, (point) => {
      const dx = this.places[2 * point] / STEPS - x;
      const dy = this.places[2 * point + 1] / STEPS - y;
      const distance = dx * dx + dy * dy;
      if (distance <= best && shown(point)) [found, best] = [point, distance];
    });
    return found;
  }

  /**
   * The points inside of an outline, ascending.
   * @param {{x: number, y: number}[]} outline corners, as places @param {(point: number) => boolean} shown
   */
  inside(outline, shown) {
    const xs = outline.map((corner) => corner.x);
    const ys = outline.map((corner) => corner.y);
    const box = { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
    /** @type {number[]} */
    const found = [];
    if (outline.length > 2) {
      this.within(box, (point) => {
        if (shown(point) && contains(outline, this.places[2 * point] / STEPS, this.places[2 * point + 1] / STEPS)) found.push(point);
      });
    }
    return Uint32Array.from(found).sort();
  }
}

/** Whether a place is inside of an outline: how often a ray from it crosses the outline. @param {{x: number, y: number}[]} outline @param {number} x @param {number} y */
export function contains(outline, x, y) {
  let inside = false;
  for (let at = 0, before = outline.length - 1; at < outline.length; before = at++) {
    const [a, b] = [outline[at], outline[before]];
    if (a.y > y !== b.y > y && x < ((b.x - a.x) * (y - a.y)) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside;
}

/** At most `most` of the points, evenly spread over them. @param {Uint32Array} points @param {number} most */
export function spread(points, most) {
  if (points.length <= most) return points;
  return Uint32Array.from({ length: most }, (_, at) => points[Math.floor((at * points.length) / most)]);
}
