// What colours mean; each entry can be hidden.
import { count } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { css } from "./colours.js";

/** @typedef {import("./colours.js").Entry} Entry */

/** Entries that take part in `show all` and `hide all`. @param {Entry[]} legend */
const listed = (legend) => legend.filter((entry) => entry.kind !== "gone");

/** @param {{legend: Entry[], hidden: Set<number>, hide: (hidden: Set<number>) => void, busy: boolean}} props */
export function Legend({ legend, hidden, hide, busy }) {
  const entries = listed(legend);
  const gone = legend.find((entry) => entry.kind === "gone");
  const toggle = (/** @type {number} */ value) => {
    const next = new Set(hidden);
    if (!next.delete(value)) next.add(value);
    hide(next);
  };
  return html`<fieldset class="map-legend" aria-busy=${busy}>
    <legend>Colours</legend>
    <div class="row">
      <button class="quiet" disabled=${!hidden.size} onClick=${() => hide(new Set())}>Show all</button>
      <button class="quiet" disabled=${hidden.size === entries.length} onClick=${() => hide(new Set(entries.map((entry) => entry.value)))}>Hide all</button>
    </div>
    <ul tabindex="0" aria-label="Entries of the legend">
      ${entries.map(
        (entry) => html`<li key=${entry.value}>
          <label><input type="checkbox" checked=${!hidden.has(entry.value)} onChange=${() => toggle(entry.value)} />
            <span class="map-swatch" style=${{ background: css(entry, legend) }}></span>
            <span class="grow">${entry.title}</span></label>
          <span class="muted number">${count(entry.images)}</span>
          ${entries.length > 2 &&
          html`<button class="quiet" aria-label=${`Show only ${entry.title}`} onClick=${() => hide(new Set(entries.map((each) => each.value).filter((value) => value !== entry.value)))}>only</button>`}
        </li>`,
      )}
    </ul>
    ${gone && html`<p class="muted">${count(gone.images)} deleted since the map was drawn: not shown.</p>`}
  </fieldset>`;
}
