// Embedding spaces that are being filled, and the change feed.
import { ago, count, duration, moment, percent, plural } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { growth, useHistory } from "./polling.js";

/** @typedef {{id: number, state: string, model: string, revision: string, dimension: number, images: number, waiting: number,
 *   failed: number, indexed: boolean}} Space */
/** @typedef {{end: string, newest_at: string | null, oldest_at: string | null, retention_days: number | null,
 *   blocker: {pid: number, application: string} | null}} Feed */

/**
 * How far a space is, and when it will be full if it goes on as it did while this page was open.
 * @param {{space: Space, of: number, at: number | null}} props `of`: images in the catalog
 */
function Filling({ space, of, at }) {
  const speed = growth(useHistory(space.images, at));
  const left = Math.max(0, of - space.images - space.failed);
  const failed = space.failed ? `; its model could not embed ${plural(space.failed, "image")}` : "";
  if (!left) return html`<p>Full: ${count(space.images)} of ${plural(of, "image")}${failed}. <code>enrich space activate ${space.id}</code> makes it the one that is searched.</p>`;
  const eta = speed && speed > 0 ? `about ${duration(left / speed)} left, at ${count(Math.round(speed * 60))} a minute` : "no vector was added since this page was opened";
  return html`<progress max=${of} value=${space.images} aria-label=${`Space ${space.id}`}></progress>
    <p>${percent(of ? space.images / of : 0)}: ${count(space.images)} of ${plural(of, "image")}${failed}; ${speed === null ? "measuring its speed …" : `${eta}.`}</p>`;
}

/** @param {{spaces: Space[], images: number, at: number | null}} props `images`: in the catalog */
export function Spaces({ spaces, images, at }) {
  if (!spaces.length) return html`<p class="muted">No image has been embedded yet.</p>`;
  return html`<ul class="op-plain spaces">${spaces.map(
    (each) => html`<li key=${each.id}><p><strong>Space ${each.id}</strong> ${each.model} <span class="muted">${each.revision.slice(0, 12)}, ${count(each.dimension)} dimensions</span>${" "}
        <span class=${`chip ${each.state === "active" ? "good" : each.state === "filling" ? "warn" : ""}`}>${each.state}</span></p>
      ${each.state === "filling" && html`<${Filling} space=${each} of=${images} at=${at} />`}
      ${each.state === "active" && html`<p class="muted">${plural(each.images, "vector")}${each.waiting ? `; ${plural(each.waiting, "image")} without one yet` : ""}${each.failed ? `; ${count(each.failed)} could not be embedded` : ""}${each.indexed ? "" : "; no index yet"}</p>`}
    </li>`,
  )}</ul>`;
}

/** @param {{feed: Feed}} props */
export function FeedState({ feed }) {
  return html`<p>${feed.newest_at ? html`Newest change ${ago(feed.newest_at)}, at position` : "No change yet; followers start at position"}
      <code class="op-break">${feed.end}</code></p>
    <p class="muted">${feed.oldest_at ? `Goes back to ${moment(feed.oldest_at)}. ` : ""}Changes are kept ${feed.retention_days === null ? "for ever" : `for ${plural(feed.retention_days, "day")}`}.</p>
    ${feed.blocker && html`<p class="warn">Waits for an open transaction: database process ${feed.blocker.pid}, ${feed.blocker.application}.</p>`}`;
}
