// The quarantine: by reason, with pictures where there are any; retry and give up.
import { api } from "../../app/api.js";
import { ago, bytes, count, plural } from "../../app/format.js";
import { useKeys } from "../../app/keys.js";
import { html, useEffect, useRef, useState } from "../../app/lib.js";
import { link, navigate } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { Confirm, ErrorBox, Loading, toast, toastError } from "../../app/ui.js";
import { change, changeEach, meaning, nameOf } from "./actions.js";
import { Details, Picture } from "./entry.js";
import { usePolled } from "./polling.js";

/** @typedef {import("./actions.js").Entry} Entry */
/** @typedef {import("./actions.js").Action} Action */
/** @typedef {{action: Action, entries: Entry[] | null, count: number}} Asked entries null: all that are filtered */

const PAGE = 50;

/** @param {{query: URLSearchParams, seconds: number | null, version: string, changed: () => void}} props
 * `version` changes with the number of entries */
export function Quarantine({ query, seconds, version, changed }) {
  const reason = query.get("reason");
  const givenUp = query.get("given_up") === "true";
  const [most, setMost] = useState(PAGE);
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const [asked, setAsked] = useState(/** @type {Asked | null} */ (null));
  const [shown, setShown] = useState(/** @type {Entry | null} */ (null));
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  const may = useMay("admin");
  const filter = { reason: reason ?? undefined, given_up: givenUp || undefined };
  const name = `${reason} ${givenUp} ${most} ${version}`;
  const counts = usePolled(seconds && seconds * 3, (signal) => api.get("/v1/quarantine/counts", { given_up: filter.given_up }, signal), name);
  const page = usePolled(seconds && seconds * 3, (signal) => api.get("/v1/quarantine", { ...filter, limit: most }, signal), name);
  useEffect(() => (setChosen(new Set()), setMost(PAGE)), [reason, givenUp]);

  /** @type {Entry[]} */
  const entries = page.value?.entries ?? [];
  const picked = entries.filter((each) => chosen.has(nameOf(each)));
  const all = reason ? (counts.value?.reasons[reason] ?? 0) : (counts.value?.total ?? 0);
  const ask = (/** @type {Action} */ action, /** @type {Entry[] | null} */ some) => setAsked({ action, entries: some, count: some ? some.length : all });
  const filterBy = (/** @type {Record<string, any>} */ changes) =>
    navigate(link("operations", { reason, given_up: givenUp ? "true" : null, ...changes }), { replace: true });
  const pick = (/** @type {Entry[]} */ some, /** @type {boolean} */ on) =>
    setChosen((old) => {
      const next = new Set(old);
      for (const each of some) on ? next.add(nameOf(each)) : next.delete(nameOf(each));
      return next;
    });
  const look = () => {
    counts.again();
    page.again();
    changed();
  };
  // What had the focus may be gone by now. While the dialog is open, nothing behind it can get the focus.
  const ended = useRef(false);
  useEffect(() => {
    if (asked || !ended.current) return;
    ended.current = false;
    heading.current?.focus();
  }, [asked]);
  useKeys(may ? [
    { key: "a", does: "select all shown entries of the quarantine", run: () => pick(entries, picked.length < entries.length) },
    { key: "r", does: "retry the selected entries", run: () => void (picked.length && ask("retry", picked)) },
  ] : []);

  return html`<section class="card" aria-labelledby="quarantine">
    <h2 id="quarantine" tabindex="-1" ref=${heading}>${givenUp ? "Given up" : "Quarantine"} <span class="muted">${counts.value ? count(counts.value.total) : ""}</span></h2>
    <div class="row" role="group" aria-label="Filter by reason">
      <button aria-pressed=${!reason} onClick=${() => filterBy({ reason: null })}>All</button>
      ${Object.entries(counts.value?.reasons ?? {}).map(
        ([each, n]) => html`<button key=${each} aria-pressed=${each === reason} title=${meaning(each)} onClick=${() => filterBy({ reason: each === reason ? null : each })}>${each} <span class="muted">${count(/** @type {number} */ (n))}</span></button>`,
      )}
      <label class="op-given-up"><input type="checkbox" checked=${givenUp} onChange=${() => filterBy({ given_up: givenUp ? null : "true", reason: null })} /> given up</label>
    </div>
    ${(page.error && !page.value) || (counts.error && !counts.value) ? html`<${ErrorBox} error=${page.error ?? counts.error} retry=${() => (page.again(), counts.again())} />` : null}
    ${!page.value && !page.error && html`<${Loading} what="the quarantine" />`}
    ${page.value && !entries.length && html`<p class="muted">${nothing(reason, givenUp)}</p>`}
    ${entries.length > 0 && html`
      <${Toolbar} may=${may} givenUp=${givenUp} reason=${reason} picked=${picked} shown=${entries.length} all=${all} ask=${ask} pickAll=${(/** @type {boolean} */ on) => pick(entries, on)} />
      <ul class="op-entries">${entries.map(
        (each) => html`<${Row} key=${nameOf(each)} entry=${each} may=${may} givenUp=${givenUp} picked=${chosen.has(nameOf(each))} pick=${(/** @type {boolean} */ on) => pick([each], on)} ask=${ask} show=${setShown} />`,
      )}</ul>
      ${page.value.next && most < 1000 && html`<button onClick=${() => setMost((n) => Math.min(1000, n * 2))}>Show more</button>`}`}
    ${asked && html`<${Ask} asked=${asked} reason=${reason} givenUp=${givenUp} close=${() => setAsked(null)} look=${look} ended=${() => ((ended.current = true), setChosen(new Set()), look())} />`}
    ${shown && html`<${Details} entry=${shown} close=${() => setShown(null)} />`}
  </section>`;
}

/** @param {string | null} reason @param {boolean} givenUp */
function nothing(reason, givenUp) {
  if (reason) return `Nothing for this reason: ${reason}.`;
  return givenUp ? "Nothing has been given up." : "Nothing is in quarantine: every image that was read could be enriched.";
}

/** @param {{may: boolean, givenUp: boolean, reason: string | null, picked: Entry[], shown: number, all: number,
 *   ask: (action: Action, entries: Entry[] | null) => void, pickAll: (on: boolean) => void}} props */
function Toolbar({ may, givenUp, reason, picked, shown, all, ask, pickAll }) {
  if (!may) return html`<p class="muted">Retrying and giving up need a session with the admin token.</p>`;
  const some = picked.length > 0;
  const every = reason ? `all ${count(all)} ${reason}` : `all ${count(all)}`;
  return html`<div class="row op-toolbar" role="group" aria-label="Actions">
    <label><input type="checkbox" checked=${picked.length === shown} ref=${(/** @type {any} */ box) => box && (box.indeterminate = some && picked.length < shown)}
      onChange=${(/** @type {any} */ event) => pickAll(event.target.checked)} /> ${some ? `${count(picked.length)} selected` : "Select all shown"}</label>
    <button class="primary" disabled=${!some} onClick=${() => ask("retry", picked)}>Retry</button>
    ${!givenUp && html`<button disabled=${!some} onClick=${() => ask("drop", picked)}>Give up</button>`}
    <span class="grow"></span>
    <button onClick=${() => ask("retry", null)}>Retry ${every}</button>
    ${!givenUp && html`<button onClick=${() => ask("drop", null)}>Give up ${every}</button>`}
  </div>`;
}

/** @param {{entry: Entry, may: boolean, givenUp: boolean, picked: boolean, pick: (on: boolean) => void,
 *   ask: (action: Action, entries: Entry[]) => void, show: (entry: Entry) => void}} props */
function Row({ entry, may, givenUp, picked, pick, ask, show }) {
  return html`<li class="op-entry">
    ${may && html`<input type="checkbox" aria-label=${`Select ${nameOf(entry)}`} checked=${picked} disabled=${entry.pending} onChange=${(/** @type {any} */ event) => pick(event.target.checked)} />`}
    <${Picture} entry=${entry} />
    <div class="grow">
      <p class="name"><button class="op-link" onClick=${() => show(entry)}>${nameOf(entry)}</button></p>
      <p><span class="chip">${entry.reason}</span> ${entry.message}</p>
      <p class="muted">${ago(entry.since)}, ${plural(entry.attempts, "attempt")}${entry.size === null ? "" : `, ${bytes(entry.size)}`}</p>
    </div>
    ${entry.pending ? html`<span class="chip warn">being retried</span>` : may && html`<div class="row">
      <button onClick=${() => ask("retry", [entry])}>Retry</button>
      ${!givenUp && html`<button class="quiet" onClick=${() => ask("drop", [entry])}>Give up</button>`}</div>`}
  </li>`;
}

/** Ask before it is done. Giving up can be taken back. @param {{asked: Asked, reason: string | null, givenUp: boolean, close: () => void, ended: () => void, look: () => void}} props */
function Ask({ asked, reason, givenUp, close, ended, look }) {
  const [done, setDone] = useState(0);
  const { action, entries, count: number } = asked;
  const choice = { ...(reason ? { reason } : { all: true }), ...(givenUp ? { given_up: true } : {}) };
  const began = useRef(0);
  const run = async () => {
    began.current = Date.now();
    const changed = entries ? await changeEach(action, entries, setDone) : await change(action, choice, setDone);
    if (action === "retry") toast(`${plural(changed, "object")} will be tried again`);
    else toast(`${plural(changed, "object")} given up`, { action: { label: "Undo", run: () => undo().then(look, toastError) } });
    ended();
  };
  const undo = async () => {
    // An age, because the clocks of the browser and of the database may differ.
    const since = `${Math.ceil((Date.now() - began.current) / 1000) + 1}s`;
    const back = entries ? await changeEach("retry", entries) : await change("retry", { ...(reason ? { reason } : {}), since, given_up: true });
    toast(`${plural(back, "object")} taken back, to be tried again`);
  };
  const one = number === 1;
  const what = entries?.length === 1 ? nameOf(entries[0]) : `${plural(number, "object")}${!entries && reason ? ` for the reason ${reason}` : ""}`;
  return html`<${Confirm} title=${action === "retry" ? `Retry ${what}?` : `Give up ${what}?`} action=${action === "retry" ? "Retry" : "Give up"}
      danger=${action === "drop"} run=${run} close=${close}>
    <p>${action === "retry"
      ? `${one ? "It becomes" : "They become"} pending work again, behind live uploads. What fails again comes back here with its new reason.`
      : `${one ? "It counts" : "They count"} as excluded until other bytes are uploaded, or until ${one ? "it is" : "they are"} retried.`}</p>
    ${done > 0 && html`<p role="status">${count(done)} of ${count(number)} done</p>`}
  </${Confirm}>`;
}
