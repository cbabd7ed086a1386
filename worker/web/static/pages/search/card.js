// What is known about a picture, beside it while the pointer or the focus is on it.
import { api } from "../../app/api.js";
import { moment, percent, plural } from "../../app/format.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../app/lib.js";
import { exampleName } from "./query.js";

const WIDTH = 280;
/** @type {Map<string, Promise<any>>} */
const known = new Map();
/** Read everything again: tags have changed. */
export const forgetDetails = () => known.clear();

/** @param {string} path */
function details(path) {
  const found = known.get(path) ?? api.get(path);
  known.set(path, found);
  found.catch(() => known.delete(path));
  if (known.size > 200) known.delete(/** @type {string} */ (known.keys().next().value));
  return found;
}

/** @param {{item: any, cell: HTMLElement, search: import("./query.js").Search}} props */
export function Card({ item, cell, search }) {
  const [image, setImage] = useState(/** @type {any} */ (null));
  const root = useRef(/** @type {HTMLDivElement | null} */ (null));
  useEffect(() => {
    let current = true;
    setImage(null);
    details(item.links.image).then((found) => current && setImage(found), () => {});
    return () => void (current = false);
  }, [item.links.image]);
  useLayoutEffect(() => {
    const [box, own] = [cell.getBoundingClientRect(), root.current];
    if (!own) return;
    const right = box.right + 10 + WIDTH < innerWidth;
    own.style.left = `${Math.max(8, right ? box.right + 10 : box.left - WIDTH - 10)}px`;
    own.style.top = `${Math.max(60, Math.min(box.top, innerHeight - own.offsetHeight - 12))}px`;
  });
  const tags = image?.tags.filter((/** @type {any} */ tag) => tag.in_force && tag.label !== null) ?? [];
  return html`<div class="hover-card card" ref=${root} aria-hidden="true">
    <p class="hover-name">${item.key}</p>
    ${tags.length > 0 && html`<ul class="bars">${tags.map((/** @type {any} */ tag) => html`<li key=${`${tag.taxonomy} ${tag.label}`}>
      <span class="bar-name"><span class="muted">${tag.taxonomy}</span> ${tag.label}</span>
      <span class="bar-number">${tag.probability === null ? tag.reviewer ?? "a person" : percent(tag.probability)}</span>
      <span class="bar"><span style=${{ width: `${100 * (tag.probability ?? 1)}%` }} class=${tag.probability === null ? "by-person" : ""}></span></span>
    </li>`)}</ul>`}
    ${image && !tags.length && html`<p class="muted">No tags</p>`}
    <${Why} item=${item} search=${search} />
    ${image && html`<p class="muted">${[image.taken_at && moment(image.taken_at), [image.camera_make, image.camera_model].filter(Boolean).join(" "), `${image.width} × ${image.height}`].filter(Boolean).join(" · ")}</p>`}
  </div>`;
}

/** Why it was found. @param {{item: any, search: import("./query.js").Search}} props */
function Why({ item, search }) {
  if (item.similarity === undefined) return null;
  const like = [...(search.text.trim() ? [{ kind: /** @type {const} */ ("text"), value: search.text.trim() }] : []), ...search.like];
  const nearest = item.like && like[item.like.example];
  const against = item.unlike && search.unlike[item.unlike.example];
  return html`<dl class="why">
    ${typeof item.relevance === "number" && html`<div><dt>relevance</dt><dd>${percent(item.relevance)}</dd></div>`}
    ${nearest && html`<div><dt>like ${exampleName(nearest)}</dt><dd>${item.like.similarity.toFixed(3)}</dd></div>`}
    ${against && html`<div><dt>like ${exampleName(against)}, which is not wanted</dt><dd>${item.unlike.similarity.toFixed(3)}</dd></div>`}
    ${item.copies > 0 && html`<div><dt>copies</dt><dd>${plural(item.copies, "other file")}</dd></div>`}
  </dl>`;
}
