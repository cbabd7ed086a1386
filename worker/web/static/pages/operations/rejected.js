// Notifications that were rejected: look at them, and send them again once the cause is fixed.
import { api } from "../../app/api.js";
import { ago, bytes, count, moment, plural } from "../../app/format.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { useMay } from "../../app/session.js";
import { Confirm, Dialog, ErrorBox, Loading, toast } from "../../app/ui.js";
import { usePolled } from "./polling.js";

/** @typedef {{id: number, source: string, reason: string, bytes: number, received: string}} Rejected */

const PAGE = 10;
/** Sources with an address of their own. */
const SOURCES = ["s3", "seaweedfs"];

/** @param {{seconds: number | null}} props */
export function RejectedEvents({ seconds }) {
  const [most, setMost] = useState(PAGE);
  const [shown, setShown] = useState(/** @type {Rejected | null} */ (null));
  const may = useMay("admin");
  const { value, error, again } = usePolled(seconds, (signal) => api.get("/v1/rejected-events", { limit: most }, signal), String(most));
  return html`<section class="card" aria-labelledby="rejected">
    <h2 id="rejected">Rejected notifications <span class="muted">${value ? count(value.total) : ""}</span></h2>
    ${error && !value && html`<${ErrorBox} error=${error} retry=${again} />`}
    ${!value && !error && html`<${Loading} what="rejected notifications" />`}
    ${value && !value.total && html`<p class="muted">No notification was rejected.</p>`}
    ${value?.total > 0 && html`
      <p class="muted">Objects of watched buckets that they told of are found by the next comparison with the store. ${may ? "" : "An admin session shows their bodies."}</p>
      <ul class="op-entries">${value.events.map(
        (/** @type {Rejected} */ each) => html`<li key=${each.id} class="op-entry"><div class="grow">
          <p class="op-break">${each.reason}</p><p class="muted">no. ${each.id} from ${each.source}, ${ago(each.received)}, ${bytes(each.bytes)}</p></div>
          ${may && html`<button onClick=${() => setShown(each)} aria-label=${`Show notification ${each.id}`}>Show</button>`}</li>`,
      )}</ul>
      ${value.next && most < 1000 && html`<button onClick=${() => setMost((n) => Math.min(1000, n * 4))}>Show more</button>`}`}
    ${shown && html`<${Body} event=${shown} close=${() => setShown(null)} />`}
  </section>`;
}

/** @param {{event: Rejected, close: () => void}} props */
function Body({ event, close }) {
  const [asking, setAsking] = useState(false);
  const { value, error, again } = useLoaded(String(event.id), (signal) => api.get(`/v1/rejected-events/${event.id}`, undefined, signal));
  const sendable = value?.whole && SOURCES.includes(event.source) ? parsed(value.body) : undefined;
  const send = async () => {
    const answer = await api.post(`/v1/events/${event.source}`, sendable);
    toast(`Accepted: ${plural(answer.hinted, "object")} ${answer.hinted === 1 ? "is" : "are"} pending`);
    close();
  };
  if (asking) {
    return html`<${Confirm} title=${`Send notification ${event.id} again?`} action="Send again" run=${send} close=${() => setAsking(false)}>
      <p>It goes to <code>POST /v1/events/${event.source}</code> as it came. If it is rejected again, it is kept once more.</p></${Confirm}>`;
  }
  return html`<${Dialog} title=${`Notification ${event.id} from ${event.source}`} close=${close}>
    <p class="op-break">${event.reason}</p><p class="muted">Received ${moment(event.received)}, ${bytes(event.bytes)}</p>
    ${error && html`<${ErrorBox} error=${error} retry=${again} />`}
    ${!value && !error && html`<${Loading} what="its body" />`}
    ${value && html`<pre class="op-dump" tabindex="0">${value.body}</pre>
      ${sendable === undefined
        ? html`<p class="muted">It cannot be sent again from here: ${value.whole ? "what is kept is not a notification in JSON, or it came from a queue" : "only a part of it is kept"}.</p>`
        : html`<div class="actions"><button onClick=${() => setAsking(true)}>Send again …</button></div>`}`}
  </${Dialog}>`;
}

/** The value of a JSON text that can be sent unchanged; undefined: it is not JSON. @param {string} text */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
