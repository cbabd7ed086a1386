// The numbers at the top: is every object accounted for, how much waits, how fast it gets done.
import { count, duration, plural } from "../../app/format.js";
import { html } from "../../app/lib.js";

/** @typedef {{enriched: number, excluded: number, quarantined: number, gone: number, pending: number}} Objects */
/** @typedef {{name: string, missing_since: string | null, gone_at: string | null, objects: Objects}} Bucket */
/** @typedef {{bucket: string, prefix: string, finished_at: string | null, listed: number, missing: number, stale: number,
 *   ghost: number, unnameable: number, running: boolean, compared: number, error: string | null}} Target */
/** @typedef {{lane: string, objects: number, in_flight: number, oldest_seconds: number | null, exact: boolean}} Lane */
/** @typedef {{pending: number, lanes: Lane[], retrying: {reason: string, objects: number, example: string | null}[]}} Backlog */
/** @typedef {{images: number, median: number, p95: number, p99: number, longest: number}} Latency */
/** @typedef {{last_minute: number, last_hour: number, exact: boolean, minutes: {start: string, images: number}[],
 *   latency: Latency | null, latency_exact: boolean}} Throughput */

/** A sentence in which `commands` are set as such. @param {string} text */
export const withCode = (text) => text.split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));

/** Objects of all buckets by state. @param {Bucket[]} buckets @returns {Objects} */
export function total(buckets) {
  const sum = { enriched: 0, excluded: 0, quarantined: 0, gone: 0, pending: 0 };
  for (const { objects } of buckets) {
    for (const state of /** @type {(keyof Objects)[]} */ (Object.keys(sum))) sum[state] += objects[state];
  }
  return sum;
}

/** Objects that the store has, or that are still looked for. @param {Objects} objects */
export const known = ({ enriched, excluded, quarantined, pending }) => enriched + excluded + quarantined + pending;

/**
 * What can be said about missing objects: only a comparison with the store tells.
 * @param {Bucket[]} buckets @param {Target[]} targets
 * @returns {{tone: "good" | "warn", title: string, text: string}}
 */
export function completeness(buckets, targets) {
  const objects = known(total(buckets));
  const every = objects === 1 ? "The one object known" : `Each of the ${count(objects)} objects known`;
  const compared = new Set(targets.filter((each) => each.finished_at).map((each) => each.bucket));
  const rest = buckets.filter((each) => !compared.has(each.name) && !each.gone_at && known(each.objects) > 0);
  const lost = targets.reduce((sum, each) => sum + each.unnameable, 0);
  if (!objects && !compared.size) return { tone: "good", title: "No objects yet", text: "No store has announced an object, and none has been listed." };
  if (lost) {
    return {
      tone: "warn", title: `${plural(lost, "object")} cannot be recorded`,
      text: `Their keys cannot be stored: \`enrich verify\` names them. ${every} is in exactly one state.`,
    };
  }
  if (rest.length) {
    const names = rest.slice(0, 3).map((each) => each.name).join(", ") + (rest.length > 3 ? " …" : "");
    return {
      tone: "warn", title: `${every} is in exactly one state`,
      text: `Whether the store has more is not known: ${names} ${rest.length === 1 ? "has" : "have"} not been compared with it yet. A running scheduler does that.`,
    };
  }
  return { tone: "good", title: `0 missing: every one of ${plural(objects, "object")} is accounted for`, text: "" };
}

/**
 * A line over the last values. Its numbers are said in words beside it.
 * @param {{values: number[], label: string}} props
 */
export function Sparkline({ values, label }) {
  const most = Math.max(1, ...values);
  const step = values.length > 1 ? 100 / (values.length - 1) : 0;
  const points = values.map((value, at) => `${(at * step).toFixed(2)},${(23 - (22 * value) / most).toFixed(2)}`);
  return html`<svg class="op-sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${points.length > 1 && html`<path class="op-area" d=${`M0,24 L${points.join(" L")} L100,24 Z`} />
      <path class="op-line" d=${`M${points.join(" L")}`} vector-effect="non-scaling-stroke" />`}
  </svg>`;
}

/** @param {{title: string, value: any, tone?: string, children?: any}} props */
export function Tile({ title, value, tone = "", children }) {
  return html`<section class="op-figure card"><h2>${title}</h2><p class=${`op-big ${tone}`}>${value}</p>${children}</section>`;
}

/** @param {{found: Throughput | null}} props */
export function RateTile({ found }) {
  if (!found) return html`<${Tile} title="Enriched per minute" value="…" />`;
  const about = found.exact ? "" : "about ";
  const values = found.minutes.map((each) => each.images);
  return html`<${Tile} title="Enriched per minute" value=${count(found.last_minute)}>
    <${Sparkline} values=${values} label=${`Images enriched in each of the last 60 minutes: at most ${count(Math.max(...values))}`} />
    <p class="muted">${about}${plural(found.last_hour, "image")} in the last hour</p>
  </${Tile}>`;
}

/** @param {{found: Throughput | null}} props */
export function LatencyTile({ found }) {
  if (!found) return html`<${Tile} title="Event to searchable" value="…" />`;
  if (!found.latency) {
    return html`<${Tile} title="Event to searchable" value="–"><p class="muted">No event made an image searchable in the last hour.</p></${Tile}>`;
  }
  const { images, median, p95, p99 } = found.latency;
  return html`<${Tile} title="Event to searchable" value=${duration(median)}>
    <p>95 % within ${duration(p95)}, 99 % within ${duration(p99)}</p>
    <p class="muted">median of ${found.latency_exact ? plural(images, "image") : `a sample of ${plural(images, "image")}`} in the last hour</p>
  </${Tile}>`;
}

/**
 * How long the backlog will take, if it goes on like this.
 * @param {{found: Backlog | null, speed: Throughput | null, history: {value: number}[]}} props
 */
export function BacklogTile({ found, speed, history }) {
  if (!found) return html`<${Tile} title="Pending" value="…" />`;
  const values = history.map((each) => each.value);
  const oldest = Math.max(0, ...found.lanes.map((lane) => lane.oldest_seconds ?? 0));
  const left = found.pending && speed?.last_minute ? (found.pending / speed.last_minute) * 60 : null;
  return html`<${Tile} title="Pending" value=${count(found.pending)}>
    <${Sparkline} values=${values} label="Pending objects since this page was opened" />
    <p class="muted">${found.pending ? `oldest: ${duration(oldest)}` : "nothing waits"}${left === null ? "" : `; about ${duration(left)} left at the last minute’s rate`}</p>
  </${Tile}>`;
}

const LANES = /** @type {Record<string, string>} */ ({
  live: "uploads, first",
  retry: "tried again, after live",
  backfill: "`enrich backfill`, comparisons and bulk notifications, last",
});

/** @param {{found: Backlog | null}} props */
export function Lanes({ found }) {
  if (!found) return null;
  return html`<div class="scroll-x" tabindex="0" role="group" aria-label="Backlog by lane"><table>
    <thead><tr><th>Lane</th><th class="number">Pending</th><th class="number">In progress</th><th class="number">Oldest</th></tr></thead>
    <tbody>${found.lanes.map(
      (lane) => html`<tr key=${lane.lane}><td>${lane.lane} <span class="muted op-on-wide">${withCode(LANES[lane.lane])}</span></td>
        <td class="number">${count(lane.objects)}</td><td class="number">${count(lane.in_flight)}</td>
        <td class="number">${lane.oldest_seconds === null ? (lane.exact ? "–" : "not known") : `${lane.exact ? "" : "≥ "}${duration(lane.oldest_seconds)}`}</td></tr>`,
    )}</tbody>
  </table></div>
  ${found.retrying.length > 0 && html`<h3>Why objects are tried again</h3>
    <ul class="op-plain">${found.retrying.map(
      (each) => html`<li key=${each.reason}><strong>${count(each.objects)}</strong> ${each.reason}${each.example && html`: <span class="muted">${each.example}</span>`}</li>`,
    )}</ul>`}`;
}
