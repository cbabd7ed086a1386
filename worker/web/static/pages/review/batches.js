// The batches that this person recorded lately, each of which can be taken back.
import { api } from "../../app/api.js";
import { ago, plural } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { Dialog, Empty, ErrorBox, Loading, toastError } from "../../app/ui.js";
import { outbox } from "./outbox.js";

/** Decisions that stand, by batch, the newest first. @param {any[]} decisions */
function grouped(decisions) {
  /** @type {Map<string, {batch: string, at: string, taxonomy: string, verdicts: Map<string, number>, count: number}>} */
  const found = new Map();
  for (const { batch, at, taxonomy, verdict, undone_by } of decisions) {
    if (undone_by !== null || verdict === "undo") continue;
    const own = found.get(batch) ?? { batch, at, taxonomy, verdicts: new Map(), count: 0 };
    own.count++;
    own.verdicts.set(verdict, (own.verdicts.get(verdict) ?? 0) + 1);
    found.set(batch, own);
  }
  return [...found.values()];
}

/** @param {{reviewer: string, work: import("./work.js").Work, close: () => void}} props */
export function Batches({ reviewer, work, close }) {
  const { value, error, again } = useLoaded("batches", async (signal) => grouped((await api.get("/v1/decisions", { reviewer, limit: 1000 }, signal)).decisions));
  const [busy, setBusy] = useState("");
  const undo = (/** @type {string} */ batch) => {
    const own = outbox.batches.find((each) => each.batch === batch);
    if (own) return (work.back(own), close());
    setBusy(batch);
    api.remove("/v1/decisions", { batch, reviewer }).then(() => (again(), work.again()), toastError).finally(() => setBusy(""));
  };
  return html`<${Dialog} title="Your last batches" close=${close}>
    ${error ? html`<${ErrorBox} error=${error} retry=${again} />` : !value ? html`<${Loading} what="batches" />` : !value.length ? html`<${Empty} title="Nothing was recorded yet" />`
    : html`<table><tbody>${value.slice(0, 20).map((each) => html`<tr key=${each.batch}><td>${ago(each.at)}</td><td>${each.taxonomy}</td>
        <td>${[...each.verdicts].map(([verdict, number]) => `${number} ${verdict}`).join(", ")}</td>
        <td class="number"><button disabled=${busy === each.batch} aria-label=${`Undo ${plural(each.count, "decision")}`} onClick=${() => undo(each.batch)}>Undo</button></td></tr>`)}</tbody></table>`}
  </${Dialog}>`;
}
