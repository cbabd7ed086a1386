// Images of a label: the likeliest, those on both sides of the threshold, and the least likely.
import { html } from "../../app/lib.js";
import { link } from "../../app/router.js";
import { Thumb } from "../../app/ui.js";

/** @type {[string, string][]} */
const KINDS = [["best", "Likeliest"], ["above", "Just above the threshold"], ["below", "Just below the threshold"], ["worst", "Least likely"]];

/** @param {{strips: any, label: string}} props */
export function Strips({ strips, label }) {
  return html`<div class="strips">
    ${KINDS.map(([kind, title]) => html`<section key=${kind} aria-label=${`${label}: ${title.toLowerCase()}`}>
      <h2>${title}</h2>
      ${strips[kind].length
        ? html`<ul>${strips[kind].map((/** @type {any} */ image) => html`<${Shot} key=${`${image.bucket}/${image.key}`} image=${image} />`)}</ul>`
        : html`<p class="muted">No image of the sample.</p>`}
    </section>`)}
  </div>`;
}

/** @param {{image: any}} props */
function Shot({ image }) {
  const name = `${image.bucket}/${image.key}`;
  const title = `${name}\nprobability ${image.probability.toFixed(3)}, similarity ${image.similarity.toFixed(3)}`;
  return html`<li class=${image.holds ? "holds" : ""}>
    <a href=${link("image", { bucket: image.bucket, key: image.key })} title=${title}>
      <${Thumb} image=${image} alt=${name} /><span>${image.probability.toFixed(2)}${image.holds ? html` <span class="tick" aria-label="would be tagged">✓</span>` : ""}</span>
    </a>
  </li>`;
}
