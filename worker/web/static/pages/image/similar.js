// Images like this one, and those that look the same.
import { api } from "../../app/api.js";
import { plural } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link } from "../../app/router.js";
import { ErrorBox, Loading, Thumb } from "../../app/ui.js";

const SHOWN = 18;
const NEAR = 0.97; // similarity
const MOST_COMPARED = 8;
const SAME_BITS = 4; // of 64 of the perceptual hash

/** Bits in which two hashes differ. @param {string} one @param {string} other hex */
function distance(one, other) {
  let different = BigInt(`0x${one}`) ^ BigInt(`0x${other}`);
  let bits = 0;
  for (; different; different &= different - 1n) bits++;
  return bits;
}

/** @param {{image: any}} props */
export function Similar({ image }) {
  const name = `${image.bucket}/${image.key}`;
  const { value, error, again } = useLoaded(image.sha256 + name, async (signal) => {
    const found = await api.post("/v1/search", { like: [{ image: name }], limit: SHOWN, collapse: false, include_examples: true }, signal);
    const hits = found.hits.filter((/** @type {any} */ hit) => `${hit.bucket}/${hit.key}` !== name);
    // Those that are nearly the same picture are among the most similar ones: compared by their bytes and hashes.
    const near = hits.filter((/** @type {any} */ hit) => hit.similarity > NEAR).slice(0, MOST_COMPARED);
    const whole = await Promise.all(near.map((/** @type {any} */ hit) => (hit.sha256 === image.sha256 ? hit : api.get(hit.links.image, {}, signal).catch(() => hit))));
    const same = whole.filter((each) => each.sha256 === image.sha256 || (each.phash && distance(each.phash, image.phash) <= SAME_BITS)).map((each) => `${each.bucket}/${each.key}`);
    return { hits, same: new Set(same) };
  });
  if (error) return error.status === 409 ? null : html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="similar images" />`;
  const [copies, others] = [true, false].map((wanted) => value.hits.filter((/** @type {any} */ hit) => value.same.has(`${hit.bucket}/${hit.key}`) === wanted));
  return html`${copies.length > 0 && html`<section><h2>Looks the same <span class="muted">${plural(copies.length, "image")}</span></h2><${Strip} hits=${copies} /></section>`}
    ${others.length > 0 && html`<section><h2>Similar <a class="more" href=${link("search", { like: `image:${name}` })}>all of them</a></h2><${Strip} hits=${others} /></section>`}`;
}

/** @param {{hits: any[]}} props */
function Strip({ hits }) {
  return html`<ul class="strip">${hits.map((hit) => html`<li key=${`${hit.bucket}/${hit.key}`}><a href=${link("image", { bucket: hit.bucket, key: hit.key })} title=${hit.key}><${Thumb} image=${hit} /></a></li>`)}</ul>`;
}
