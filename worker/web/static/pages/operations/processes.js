// Workers, schedulers and listeners: alive or not, what they do, and what is wrong.
import { duration } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { withCode } from "./numbers.js";

/** @typedef {{name: string, kind: string, host: string, model: string | null, activity: string, batches: number,
 *   waiting: string | null, breakers: string[], problem: string | null, started_at: string, seen_seconds: number}} Process */
/** @typedef {import("./numbers.js").Bucket} Bucket */
/** @typedef {import("./numbers.js").Target} Target */

const TONES = /** @type {Record<string, string>} */ ({ working: "good", idle: "", waiting: "warn", stuck: "bad", silent: "bad", refused: "bad" });
const BREAKERS = /** @type {Record<string, string>} */ ({
  database: "the database is away",
  store: "the object store cannot be read",
  quarantine: "nearly everything is refused, so nothing more is put into quarantine",
});

/** Whether a process takes part: it reports, and has started. @param {Process} process */
export const isAlive = ({ activity }) => activity !== "silent" && activity !== "refused";

/** @param {{found: Process[]}} props */
export function Processes({ found }) {
  if (!found.length) {
    return html`<p class="muted">No worker or scheduler is running: start <code>enrich up</code>, or <code>enrich worker</code> and <code>enrich scheduler</code>.</p>`;
  }
  return html`<div class="scroll-x" tabindex="0" role="group" aria-label="Processes"><table>
    <thead><tr><th>Process</th><th>Does</th><th class="op-on-wide">Model</th><th class="number">Last heartbeat</th></tr></thead>
    <tbody>${found.map(
      (each) => html`<tr key=${each.name}><td>${each.kind} <span class="muted">${each.name.replace(/^[a-z]+@/, "")}</span></td>
        <td><span class=${`chip ${TONES[each.activity]}`}>${each.activity}</span>
          ${each.batches > 0 && ` ${each.batches === 1 ? "1 batch" : `${each.batches} batches`}`}
          ${each.waiting && html`<div class="warn">${each.waiting}</div>`}</td>
        <td class="op-on-wide">${(each.model ?? "–").split(":")[0]}</td><td class="number">${duration(each.seen_seconds)} ago</td></tr>`,
    )}</tbody>
  </table></div>`;
}

/**
 * What needs a person, in sentences.
 * @param {{processes: Process[], buckets: Bucket[], targets: Target[], pending: number, refused: string[],
 *   blocker: {pid: number, application: string} | null}} state
 * @returns {string[]}
 */
export function problems({ processes, buckets, targets, pending, refused, blocker }) {
  const found = processes.filter((each) => each.problem).map((each) => /** @type {string} */ (each.problem));
  for (const [name, what] of Object.entries(BREAKERS)) {
    const waiting = processes.filter((each) => each.breakers.includes(name)).length;
    if (waiting) found.push(`Circuit breaker open: ${what} (${waiting === 1 ? "1 process waits" : `${waiting} processes wait`})`);
  }
  if (pending && !processes.some((each) => each.kind === "worker" && isAlive(each))) found.push("Objects are pending and no worker is running");
  if (!processes.some((each) => each.kind === "scheduler" && isAlive(each))) found.push("No scheduler is running: lost events, due retries and old changes are not looked after");
  for (const each of buckets) {
    if (each.missing_since && !each.gone_at) found.push(`The store has no bucket ${each.name}. If it was deleted, run \`enrich bucket drop ${each.name}\``);
  }
  for (const each of targets) if (each.error) found.push(`${each.bucket} cannot be listed: ${each.error}`);
  if (blocker) found.push(`The change feed waits for an open transaction: database process ${blocker.pid}, ${blocker.application}`);
  // A process that refused says so itself, too.
  return [...new Set([...found, ...refused.filter((why) => !found.some((each) => each.includes(why.replace(/^[a-z ]+: /, ""))))])];
}

/** @param {{found: string[], quarantined: number}} props */
export function Problems({ found, quarantined }) {
  if (!found.length) return quarantined ? html`<p class="op-attention">Nothing but the <a href="operations#quarantine">quarantine</a> needs attention.</p>` : html`<p class="op-attention good">Nothing needs attention.</p>`;
  return html`<section class="op-attention box error" aria-labelledby="attention"><h2 id="attention">Needs attention</h2>
    <ul>${found.map((each) => html`<li key=${each}>${withCode(each)}</li>`)}</ul></section>`;
}
