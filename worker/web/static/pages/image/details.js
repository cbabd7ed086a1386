// Facts about the file and the picture, and what people decided before.
import { api } from "../../app/api.js";
import { ago, bytes, count, moment } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { link } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { toastError } from "../../app/ui.js";

/** Rows of names and values; those without a value are left out. @param {{title: string, rows: [string, any][]}} props */
function Facts({ title, rows }) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!known.length) return null;
  return html`<section class="facts"><h2>${title}</h2><dl>${known.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

/** A camera's time, without a zone unless it has one. @param {string | null} text */
const taken = (text) => text && text.replace("T", " ").replace(/\.\d+/, "");
/** @param {number | null} seconds */
const exposure = (seconds) => (seconds === null ? null : seconds >= 0.3 ? `${seconds} s` : `1/${Math.round(1 / seconds)} s`);
/** @param {number} value @param {string} positive @param {string} negative */
const degrees = (value, positive, negative) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;

/** @param {{image: any}} props */
export function Details({ image }) {
  const place = image.location;
  const map = place && `https://www.openstreetmap.org/?mlat=${place.latitude}&mlon=${place.longitude}#map=14/${place.latitude}/${place.longitude}`;
  const folder = image.key.includes("/") ? image.key.slice(0, image.key.lastIndexOf("/") + 1) : "";
  const inside = JSON.stringify(folder ? { bucket: image.bucket, prefix: folder } : { bucket: image.bucket });
  return html`<${Facts} title="Camera" rows=${[
      ["Taken", taken(image.taken_at)], ["Camera", [image.camera_make, image.camera_model].filter(Boolean).join(" ")], ["Lens", [image.lens_make, image.lens_model].filter(Boolean).join(" ")],
      ["Exposure", exposure(image.exposure_time)], ["Aperture", image.f_number && `f/${image.f_number}`], ["Sensitivity", image.iso && `ISO ${image.iso}`],
      ["Focal length", image.focal_length && `${image.focal_length} mm${image.focal_length_35mm ? ` (${image.focal_length_35mm} mm on 35 mm film)` : ""}`],
    ]} />
    ${place && html`<${Facts} title="Place" rows=${[
      ["Coordinates", `${degrees(place.latitude, "N", "S")}, ${degrees(place.longitude, "E", "W")}`], ["Altitude", place.altitude === null ? null : `${place.altitude} m`],
      ["Map", html`<a href=${map} target="_blank" rel="noreferrer">openstreetmap.org</a> <span class="muted">(opens there)</span>`],
      ["Nearby", html`<a href=${link("search", { filter: JSON.stringify({ near: { latitude: place.latitude, longitude: place.longitude, kilometres: 1 } }) })}>images within a kilometre</a>`],
    ]} />`}
    <${Facts} title="File" rows=${[
      ["Folder", html`<a href=${link("search", { filter: inside })}>${image.bucket}/${folder}</a>`], ["Size", `${bytes(image.size)}, ${count(image.width)} × ${count(image.height)} pixels`],
      ["Format", `${image.format}, ${image.mode}${image.frames > 1 ? `, ${count(image.frames)} frames` : ""}`], ["Type", image.content_type], ["Changed", moment(image.last_modified)],
      ["Enriched", moment(image.enriched_at)], ["Version", image.version_id], ["SHA-256", html`<code>${image.sha256}</code>`],
    ]} />
    <${Facts} title="User metadata" rows=${Object.entries(image.user_metadata)} />`;
}

const VERDICTS = /** @type {Record<string, string>} */ ({ accept: "accepted", reject: "rejected", replace: "replaced by", none: "none of the labels", unsure: "unsure", withdraw: "withdrew", undo: "took back" });

/** What people decided about this key, newest first. @param {{image: any, decisions: any[], undo: (id: number) => void, more: (() => void) | null}} props */
export function History({ image, decisions, undo, more }) {
  const may = useMay("review");
  if (!decisions.length) return null;
  return html`<section class="facts"><h2>Decisions</h2><ol class="image-history">${decisions.map((each) => html`<li key=${each.id} class=${each.undone_by !== null ? "undone" : ""}>
    <span class="grow"><strong>${each.reviewer}</strong> ${VERDICTS[each.verdict]} ${each.verdict === "undo" ? `decision ${each.undoes}` : html`<strong>${each.label ?? ""}</strong>`} <span class="muted">${each.taxonomy} · <time datetime=${each.at} title=${moment(each.at)}>${ago(each.at)}</time>${each.sha256 && each.sha256 !== image.sha256 ? " · about other bytes" : ""}${each.undone_by !== null ? " · taken back" : ""}</span>
      ${each.reason && html`<br /><span class="muted">“${each.reason}”</span>`}</span>
    ${may && each.undone_by === null && each.verdict !== "undo" && html`<button class="quiet" aria-label=${`Undo: ${VERDICTS[each.verdict]} ${each.label ?? ""}`} onClick=${() => undo(each.id)}>Undo</button>`}
  </li>`)}</ol>${more && html`<button class="quiet" onClick=${more}>Older ones</button>`}</section>`;
}

/** A link that works without our token for a few minutes: asked for when it is wanted. @param {any} image @param {string} path */
export async function openOriginal(image, path) {
  const tab = open("", "_blank");
  try {
    const { url } = await api.get(`/v1/originals/${path}`, { sha256: image.sha256 });
    if (tab) [tab.opener, tab.location.href] = [null, url];
    else location.href = url;
  } catch (error) {
    tab?.close();
    toastError(error);
  }
}
