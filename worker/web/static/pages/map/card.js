// The image of a point: its picture and tags.
import { api } from "../../app/api.js";
import { html, useEffect, useState } from "../../app/lib.js";
import { link } from "../../app/router.js";
import { Thumb } from "../../app/ui.js";

/** @typedef {{bucket: string, key: string, tags: Record<string, string[]>, links: any}} PointImage */

/** @type {Map<string, PointImage | null>} what was looked up; null: it is gone */
const known = new Map();

/** @param {number} map @param {number} point @param {AbortSignal} signal */
async function lookUp(map, point, signal) {
  const key = `${map} ${point}`;
  if (!known.has(key)) {
    const found = await api.post(`/v1/maps/${map}/images`, { points: [point] }, signal);
    if (known.size > 500) known.clear();
    known.set(key, found.images[0] ?? null);
  }
  return known.get(key) ?? null;
}

/**
 * @param {{map: number, point: number, x: number, y: number, width: number, height: number, pinned: boolean, close: () => void}} props
 * x and y: where the point is on the stage; width and height: of the stage
 */
export function PointCard({ map, point, x, y, width, height, pinned, close }) {
  const [image, setImage] = useState(/** @type {PointImage | null | undefined} */ (undefined));
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const control = new AbortController();
    setImage(undefined);
    setFailed(false);
    // A pointer that only passes by asks for nothing.
    const timer = setTimeout(() => {
      lookUp(map, point, control.signal).then(setImage, () => control.signal.aborted || setFailed(true));
    }, pinned ? 0 : 90);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [map, point, pinned]);
  if (image === undefined && !failed) return null;
  const style = {
    left: x > width / 2 ? "auto" : `${x + 14}px`,
    right: x > width / 2 ? `${width - x + 14}px` : "auto",
    top: y > height / 2 ? "auto" : `${y + 14}px`,
    bottom: y > height / 2 ? `${height - y + 14}px` : "auto",
  };
  return html`<div class="map-card" style=${style} role=${pinned ? "dialog" : "status"} aria-label="Image of the point">
    ${failed && html`<p>The image could not be looked up.</p>`}
    ${image === null && html`<p>This image is no longer in the catalog.</p>`}
    ${image && html`<${Details} image=${image} pinned=${pinned} />`}
    ${pinned && html`<button class="quiet corner" aria-label="Close" onClick=${close}>×</button>`}
  </div>`;
}

/** @param {{image: PointImage, pinned: boolean}} props */
function Details({ image, pinned }) {
  const tags = Object.entries(image.tags);
  return html`<div class="map-picture"><${Thumb} image=${image} alt="" /></div>
    <p class="map-key">${image.key}</p>
    <ul class="map-tags">
      ${tags.map(([taxonomy, labels]) => html`<li><span class="muted">${taxonomy}</span> ${labels.join(", ")}</li>`)}
      ${!tags.length && html`<li class="muted">no tags</li>`}
    </ul>
    ${pinned && html`<p><a href=${link("image", { bucket: image.bucket, key: image.key })}>Open the image</a></p>`}`;
}
