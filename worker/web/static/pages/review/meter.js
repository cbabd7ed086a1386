// How far a plan is: what has been reviewed, what is missing for the next look, and what the looks proved.
import { api } from "../../app/api.js";
import { count, percent, plural } from "../../app/format.js";
import { html, useEffect, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { useMay } from "../../app/session.js";
import { toast } from "../../app/ui.js";
import { outbox } from "./outbox.js";
import { progress, spentBefore } from "./proof.js";
import { Apply } from "./apply.js";

/** The plan, read again whenever decisions were stored, and how many looks earlier plans have used. @param {any} first null: not a plan */
export function usePlan(first) {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    const look = () => setTimes((n) => n + 1);
    outbox.stored.add(look);
    return () => void outbox.stored.delete(look);
  }, []);
  const now = useLoaded(first && times ? `${first.id} ${times}` : null, (signal) => api.get(`/v1/review-plans/${first.id}`, {}, signal));
  const earlier = useLoaded(first ? String(first.id) : null, (signal) => api.get("/v1/review-plans", { taxonomy: first.taxonomy, limit: 100 }, signal));
  const [plan, setPlan] = useState(first);
  useEffect(() => void (now.value && setPlan(now.value)), [now.value]);
  return { plan, spent: plan && earlier.value ? spentBefore(plan, earlier.value.plans) : 0 };
}

/** Two decimals of a percentage, never more than it is. @param {number} share */
const floor = (share) => `${Math.floor(share * 1000) / 10} %`;

/** @param {{plan: any, spent: number, work: import("./work.js").Work}} props */
export function Meter({ plan, spent, work }) {
  if (!plan) return html`<p class="meter muted">${count(work.decided)} decided. Only a random sample can prove a precision.</p>`;
  if (plan.target === null) return html`<p class="meter muted">${count(plan.reviewed)} of ${count(plan.frame_size)} reviewed</p>`;
  const now = progress(plan, spent);
  const done = plan.frame_size - plan.remaining;
  return html`<div class="meter" role="group" aria-label="How far the proof is">
    <p><strong>${headline(plan, now)}</strong></p>
    <div class="meter-bar" role="progressbar" aria-valuemin="0" aria-valuemax=${plan.frame_size} aria-valuenow=${done} aria-label="Reviewed images of the plan">
      <span class="fill" style=${{ width: `${(100 * done) / plan.frame_size}%` }}></span>
      ${plan.looks.map((/** @type {any} */ each) => html`<span class=${`look ${each.complete ? "complete" : ""}`} title=${`look after ${each.items}`} style=${{ left: `${(100 * each.items) / plan.frame_size}%` }}></span>`)}
    </div>
    <p class="small muted" title=${now.wrong > now.allowed ? "A stricter threshold may still be proven." : ""}>${details(plan, now)}</p>
  </div>`;
}

/** @param {any} plan @param {ReturnType<typeof progress>} now */
function headline(plan, now) {
  const target = percent(plan.target);
  if (!plan.remaining) return "All images of the plan are decided";
  const which = ["first", "second", "third"][now.at] ?? "next";
  const until = `${plural(now.left, "more review")} to the ${which} look`;
  if (now.allowed < 0 && now.look.items >= plan.frame_size) return `${until}: too few images have the label to prove ${target}`;
  return `${until}, which can prove ${target}`;
}

/** One line. @param {any} plan @param {ReturnType<typeof progress>} now */
function details(plan, now) {
  const parts = [`${count(plan.reviewed)} of ${count(plan.frame_size)} reviewed`];
  if (now.allowed < 0) parts.push(`too few: ${count(now.least)} without a mistake are the least`);
  else if (!now.wrong) parts.push("no mistake", `${count(now.least)} without one are the least`);
  else parts.push(`${plural(now.wrong, "mistake")}, ${count(now.allowed)} allowed`);
  if (now.counted) parts.push(`at least ${floor(now.bound)} right`);
  return parts.join(" · ");
}

/** What complete looks prove, and what to do next. @param {{plan: any, spent: number, done: boolean}} props */
export function Result({ plan, spent, done }) {
  const admin = useMay("admin");
  const [closed, setClosed] = useState(0);
  const asked = plan?.target && plan.look ? { taxonomies: [plan.taxonomy], label: plan.label ?? undefined, target: plan.target } : null;
  const { value } = useLoaded(asked && admin ? `${plan.id} ${plan.look} ${closed}` : null, (signal) => api.post("/v1/calibrations/plan", { ...asked, sample: 1 }, signal));
  const [applying, setApplying] = useState(false);
  if (!asked || plan.outdated) return plan?.outdated ? html`<p class="box error">Another version of the taxonomy is in force: this plan proves nothing about it.</p>` : null;
  const own = value?.taxonomies[0]?.labels[0];
  const proven = own ? own.missing === null : enough(plan, spent);
  if (!proven && !done && !own?.missing?.is_hopeless) return null;
  const proof = () => (setApplying(false), setClosed((n) => n + 1), toast("The thresholds are in force. Stored tags follow within minutes."));
  return html`<section class=${`result ${proven ? "proven" : ""}`} role="status"><p class="grow"><strong>${own ? own.message : proven ? `The reviews prove ${percent(plan.target)}.` : `${percent(plan.target)} is not proven by all images of the plan.`}</strong>
      ${own?.notes.map((/** @type {string} */ each) => html` <span class="muted">${each}.</span>`)}
      ${!admin && html` <span class="muted">An administrator puts the threshold into force: <code>enrich calibrate ${plan.taxonomy}</code></span>`}</p>
    ${admin && value?.taxonomies[0]?.changes && html`<button class="primary" onClick=${() => setApplying(true)}>Put it into force …</button>`}
    ${applying && html`<${Apply} asked=${asked} done=${proof} close=${() => setApplying(false)} />`}
  </section>`;
}

/** Whether the last complete look proves the target for all images that were asked about. @param {any} plan @param {number} spent */
function enough(plan, spent) {
  const looks = plan.looks.filter((/** @type {any} */ each) => each.complete);
  const now = progress({ ...plan, looks }, spent);
  return now.wrong <= now.allowed;
}
