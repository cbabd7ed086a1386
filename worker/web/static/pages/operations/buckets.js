// The equation of each bucket: listed = enriched + excluded + quarantined + pending.
import { ago, count, moment } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { completeness, known, total, withCode } from "./numbers.js";

/** @typedef {import("./numbers.js").Bucket} Bucket */
/** @typedef {import("./numbers.js").Target} Target */

/** The oldest of the last comparisons: what is said holds as of then. @param {Target[]} targets */
function oldest(targets) {
  const times = targets.map((each) => each.finished_at).filter((each) => each !== null);
  return times.length ? times.reduce((one, other) => (one < other ? one : other)) : null;
}

/** @param {{buckets: Bucket[], targets: Target[]}} props */
export function Equation({ buckets, targets }) {
  const { tone, title, text } = completeness(buckets, targets);
  const sum = total(buckets);
  const since = oldest(targets);
  return html`<section class=${`op-equation card is-${tone}`} aria-labelledby="accounted">
    <h2 id="accounted" class=${tone}>${title}</h2>
    ${text && html`<p>${withCode(text)}</p>`}
    <p class="terms"><strong>${count(known(sum))}</strong> = ${count(sum.enriched)} enriched + ${count(sum.excluded)} excluded
      + ${count(sum.quarantined)} quarantined + ${count(sum.pending)} pending</p>
    ${tone === "good" && since && html`<p class="muted">Compared with the store ${ago(since)}; events since then are counted as they come. <code>enrich verify</code> proves it now.</p>`}
  </section>`;
}

/** @param {{bucket: Bucket, targets: Target[]}} props */
function Compared({ bucket, targets }) {
  if (bucket.gone_at) return html`<span class="chip">deleted</span>`;
  if (bucket.missing_since) return html`<span class="chip bad">missing from the store since ${moment(bucket.missing_since)}</span>`;
  if (!targets.length) return html`<span class="muted">not watched by a scheduler</span>`;
  return targets.map((target) => {
    const where = target.prefix ? html`<code>${target.prefix}</code> ` : "";
    if (target.error) return html`<p key=${target.prefix}>${where}<span class="bad">cannot be listed: ${target.error}</span></p>`;
    const running = target.running ? ` Comparing: ${count(target.compared)} so far.` : "";
    if (!target.finished_at) return html`<p key=${target.prefix}>${where}<span class="muted">not compared yet.${running}</span></p>`;
    const found = [
      target.missing && `${count(target.missing)} new`, target.stale && `${count(target.stale)} changed`,
      target.ghost && `${count(target.ghost)} deleted`, target.unnameable && `${count(target.unnameable)} that cannot be recorded`,
    ].filter(Boolean);
    return html`<p key=${target.prefix}>${where}${count(target.listed)} listed ${ago(target.finished_at)}: ${found.length
      ? `${found.join(", ")} without an event`
      : "nothing missed"}.${running}</p>`;
  });
}

/** @param {{buckets: Bucket[], targets: Target[]}} props */
export function Buckets({ buckets, targets }) {
  if (!buckets.length) {
    return html`<p class="muted">No object has been announced yet. Upload one to a watched bucket, or run <code>enrich backfill BUCKET</code>.</p>`;
  }
  return html`<div class="scroll-x" tabindex="0" role="group" aria-label="Objects by bucket and state"><table>
    <thead><tr><th>Bucket</th><th class="number">Objects</th><th class="number">Enriched</th><th class="number">Excluded</th>
      <th class="number">Quarantined</th><th class="number">Pending</th><th class="number">Deleted</th><th>Comparison with the store</th></tr></thead>
    <tbody>${buckets.map(
      (each) => html`<tr key=${each.name}><td><strong>${each.name}</strong></td><td class="number">${count(known(each.objects))}</td>
        <td class="number">${count(each.objects.enriched)}</td><td class="number">${count(each.objects.excluded)}</td>
        <td class="number">${count(each.objects.quarantined)}</td><td class="number">${count(each.objects.pending)}</td>
        <td class="number">${count(each.objects.gone)}</td>
        <td class="wide"><${Compared} bucket=${each} targets=${targets.filter((target) => target.bucket === each.name)} /></td></tr>`,
    )}</tbody>
  </table></div>`;
}
