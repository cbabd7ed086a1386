// Decisions that were not stored, because something had changed since the picture was shown.
import { moment } from "../../app/format.js";
import { html, useEffect, useState } from "../../app/lib.js";
import { outbox } from "./outbox.js";
import { Picture } from "./tiles.js";

/** @typedef {{item: any, decision: any, result: any}} Conflict */

/** What is not settled yet. @param {import("./work.js").Work} work */
export function useConflicts(work) {
  const [all, setAll] = useState(/** @type {Conflict[]} */ ([]));
  useEffect(() => {
    const look = (/** @type {import("./outbox.js").Batch} */ batch) => {
      const page = work.sent.get(batch.batch) ?? [];
      const found = batch.results.flatMap((result, index) => {
        const decision = batch.decisions[index];
        if (batch.state !== "stored" || !["conflict", "refused"].includes(result.outcome)) return [];
        return [{ item: page.find((each) => each.bucket === decision.bucket && each.key === decision.key) ?? decision, decision, result }];
      });
      if (found.length) setAll((old) => [...old, ...found]);
    };
    outbox.stored.add(look);
    outbox.watched++;
    return () => void (outbox.stored.delete(look), outbox.watched--);
  }, []);
  return { all, settle: (/** @type {Conflict} */ one) => setAll((old) => old.filter((each) => each !== one)) };
}

/** What holds now. @param {any} now */
function standing(now) {
  if (!now) return "";
  const said = now.verdict ? `${now.reviewer} said ${now.verdict}${now.label ? ` ${now.label}` : ""} on ${moment(now.at)}` : "Nobody's decision stands";
  return `${said}; in force: ${now.labels.join(", ") || "none of these"}.`;
}

/** @param {{conflicts: ReturnType<typeof useConflicts>, work: import("./work.js").Work, what: (verdict: any) => string}} props */
export function Conflicts({ conflicts, work, what }) {
  if (!conflicts.all.length) return null;
  const insist = (/** @type {Conflict} */ one) => {
    const { labels, decision } = one.result.now;
    const again = { ...one.decision, seen: { ...one.decision.seen, labels, decision: decision ?? 0 } };
    const batch = outbox.add(work.about.reviewer, work.about.what, [again]);
    work.sent.set(batch.batch, [one.item]);
    conflicts.settle(one);
  };
  return html`<section class="conflicts" aria-label="Not stored" role="alert"><h2>${conflicts.all.length === 1 ? "One decision was" : `${conflicts.all.length} decisions were`} not stored</h2>
    ${conflicts.all.map((each) => html`<div class="conflict" key=${each.decision.key}>
      <${Picture} item=${each.item} large=${false} />
      <p class="grow"><strong>${each.decision.key}</strong><br />You said: ${what({ kind: each.decision.verdict, label: each.decision.label })}. ${each.result.now ? standing(each.result.now) : each.result.message}</p>
      <button onClick=${() => conflicts.settle(each)}>${each.result.now ? "Keep what is there" : "Close"}</button>
      ${each.result.now && html`<button onClick=${() => insist(each)}>Record mine</button>`}</div>`)}
  </section>`;
}
