// Before there is a map, and while one is drawn.
import { api } from "../../app/api.js";
import { ago, plural } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { Empty, ErrorBox, toastError } from "../../app/ui.js";

/**
 * @typedef {object} MapVersion as GET /v1/maps has it
 * @property {number} id
 * @property {"requested" | "drawing" | "ready" | "failed"} state
 * @property {boolean} current
 * @property {string} method
 * @property {number} images
 * @property {number} fitted
 * @property {number} poor_share
 * @property {number | null} added
 * @property {boolean} updating
 * @property {string} requested_at
 * @property {string | null} finished_at
 * @property {string | null} error
 * @property {{stage: string, done: number} | null} drawing
 */

const STAGES = /** @type {Record<string, string>} */ ({
  waiting: "Waiting for the scheduler",
  sampling: "Choosing a sample of the images",
  fitting: "Laying out the sample",
  placing: "Placing all other images",
  storing: "Saving",
});
/** Seconds after which a scheduler that runs would have begun. */
const SOON = 20;

/** Ask for a map, or for new images to be placed on it. @param {{update?: boolean}} what @param {() => void} asked */
export async function ask(what, asked) {
  try {
    await api.post("/v1/maps", what);
    asked();
  } catch (error) {
    toastError(error);
  }
}

/** @param {{may: boolean, asked: () => void, children?: any}} props */
export function DrawButton({ may, asked, children = "Draw a map" }) {
  const [busy, setBusy] = useState(false);
  if (!may) return html`<p>Who may review can draw one here; an operator, with <code>enrich map draw</code>.</p>`;
  const go = () => (setBusy(true), ask({}, asked).finally(() => setBusy(false)));
  return html`<button class="primary" disabled=${busy} onClick=${go}>${children}</button>`;
}

/** @param {{map: MapVersion}} props */
export function Progress({ map }) {
  const { stage, done } = map.drawing ?? { stage: "storing", done: 0 };
  const known = stage === "placing";
  const waits = stage === "waiting" && Date.now() - new Date(map.requested_at).getTime() > SOON * 1000;
  return html`<div class="map-progress">
    <p role="status">${STAGES[stage] ?? stage} …</p>
    <progress aria-label="How far the map is" max="1" value=${known ? done : undefined}></progress>
    ${waits && html`<p class="warn">Asked for ${ago(map.requested_at)}. Is <code>enrich scheduler</code>, or <code>enrich up</code>, running?</p>`}
  </div>`;
}

/** @param {{underWay?: MapVersion, failed?: MapVersion, may: boolean, asked: () => void}} props */
export function NoMap({ underWay, failed, may, asked }) {
  if (underWay) {
    return html`<${Empty} title="The map is being drawn"><${Progress} map=${underWay} />
      <p>It appears here by itself. You can leave this page meanwhile.</p></${Empty}>`;
  }
  if (failed) {
    const why = new Error(`The map could not be drawn: ${failed.error}`);
    return html`<${ErrorBox} error=${why} /><${Empty} title="There is no map"><${DrawButton} may=${may} asked=${asked}>Draw it again</${DrawButton}></${Empty}>`;
  }
  return html`<${Empty} title="There is no map yet">
    <p>A map shows all images at once: what looks alike lies together.</p>
    <${DrawButton} may=${may} asked=${asked} />
  </${Empty}>`;
}

/** What the map is, and what could be done about it. @param {{map: MapVersion, underWay?: MapVersion, may: boolean, asked: () => void}} props */
export function About({ map, underWay, may, asked }) {
  const method = map.method === "umap" ? "UMAP" : "PCA";
  const worn = map.poor_share > 0.05;
  return html`<div class="map-about muted">
    <p>${plural(map.images, "image")}, laid out by ${method}${map.finished_at && html`, drawn ${ago(map.finished_at)}`}.</p>
    ${map.updating && html`<p role="status">New images are being placed …</p>`}
    ${!map.updating && map.added ? html`<p>${plural(map.added, "new image is", "new images are")} not on it yet.
      ${may && html` <button class="quiet" onClick=${() => ask({ update: true }, asked)}>Place them</button>`}</p>` : null}
    ${worn && html`<p class="warn">${Math.round(map.poor_share * 100)} % of the images are unlike all that it was fitted to: draw it anew.</p>`}
    ${underWay ? html`<${Progress} map=${underWay} />` : may && html`<button class="quiet" onClick=${() => ask({}, asked)}>Draw it anew</button>`}
  </div>`;
}
