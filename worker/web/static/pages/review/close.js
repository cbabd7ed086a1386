// The end of a plan: who closed it, and why, is kept.
import { api } from "../../app/api.js";
import { html, useState } from "../../app/lib.js";
import { Confirm, toast } from "../../app/ui.js";

/** A button that asks first. @param {{plan: any, reviewer: string, done: () => void}} props */
export function ClosePlan({ plan, reviewer, done }) {
  const [asking, setAsking] = useState(false);
  const [reason, setReason] = useState(plan.remaining ? "" : "complete");
  const run = () =>
    api.post(`/v1/review-plans/${plan.id}/close`, { reviewer, reason: reason.trim() || null }).then(() => (toast(`Plan ${plan.id} is closed.`), done()));
  return html`<button onClick=${() => setAsking(true)}>Close the plan …</button>
    ${asking && html`<${Confirm} title=${`Close plan ${plan.id}?`} action="Close for good" run=${run} close=${() => setAsking(false)}>
      <p>A closed plan cannot be opened again. Its decisions stay in force and count for a proof${plan.remaining ? `; ${plan.remaining} of its images have not been decided, and a look that is not complete proves nothing` : ""}.</p>
      <p><label>Why <input value=${reason} maxlength="2000" onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></label></p>
    </${Confirm}>`}`;
}
