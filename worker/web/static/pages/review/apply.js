// Proven thresholds into force, after a look at what would change.
import { api } from "../../app/api.js";
import { count, plural } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { Confirm, ErrorBox, Loading } from "../../app/ui.js";

/** @param {{asked: any, done: () => void, close: () => void}} props */
export function Apply({ asked, done, close }) {
  const { value, error, again } = useLoaded(JSON.stringify(asked), (signal) => api.post("/v1/calibrations/plan", asked, signal));
  const run = () => api.post("/v1/calibrations/apply", { ...asked, planned: value.revision }).then(done);
  return html`<${Confirm} title="Put the proven threshold into force?" action="Put into force" run=${run} close=${close}>
    ${error ? html`<${ErrorBox} error=${error} retry=${again} />` : !value ? html`<${Loading} what="what would change" />` : html`<${Changes} found=${value} />`}
  </${Confirm}>`;
}

/** @param {{found: any}} props */
function Changes({ found }) {
  const changed = found.plan?.changed;
  const [own] = found.taxonomies[0].labels;
  return html`<p>${own.message}.</p>
    <p>${!changed ? "No tag changes." : html`<strong>${changed.low === changed.high ? "" : "About "}${plural(changed.about ?? changed.count ?? 0, "image")}</strong> gain or lose the label${changed.low === changed.high ? "" : ` (${count(changed.low)} to ${count(changed.high)})`}.`}</p>
    <p class="muted">It can be taken back with <code>enrich taxonomy rollback</code>, or on the page of taxonomies.</p>`;
}
