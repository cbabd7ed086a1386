// Write a taxonomy and see at every word what it does.
import { api } from "../../app/api.js";
import { count } from "../../app/format.js";
import { useKeys } from "../../app/keys.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link, navigate } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { ErrorBox, Icon, Loading, toast } from "../../app/ui.js";
import * as drafts from "./draft.js";
import { LabelRow } from "./label-row.js";
import { Plan, ReadOnly } from "./plan.js";
import { Settings } from "./settings.js";
import { Summary } from "./summary.js";
import { useTrial } from "./trial.js";
import { sorted, toFile } from "./yaml.js";

/** @typedef {import("./draft.js").Draft} Draft */

/** Rows shown at first, and how many more at a time: a taxonomy may have thousands. */
const STEP = 60;

/** One taxonomy in force, or a new one. @param {{name: string | null, label: string | null}} props */
export function Editor({ name, label }) {
  const { value, error, again } = useLoaded(name, (signal) => api.get(`/v1/taxonomies/${encodeURIComponent(name ?? "")}`, undefined, signal));
  const proofs = useLoaded(name, (signal) => api.get("/v1/certificates", { taxonomy: name }, signal));
  if (name === null) return html`<${Write} key="new" original=${null} label=${null} certificates=${[]} />`;
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="the taxonomy" />`;
  if (!value.document) return html`<${Fixed} taxonomy=${value} />`;
  return html`<${Write} key=${name} original=${value} label=${label} certificates=${proofs.value?.certificates ?? []} />`;
}

/** What cannot be edited here. @param {{taxonomy: any}} props */
function Fixed({ taxonomy }) {
  return html`<h1>${taxonomy.title}</h1><p>${taxonomy.mode === "vocabulary"
    ? `A vocabulary of ${count(taxonomy.labels)} words: images are searched by them, and nothing is decided. Change its file, and run enrich taxonomy add.`
    : "Another release stored this taxonomy. Give its file to enrich taxonomy add of this one."}</p><a class="button" href=${link("taxonomies")}>Taxonomies</a>`;
}

/** The draft is kept for this tab, so that a look at an image loses nothing. @param {string} name @param {any} original */
function useDraft(name, original) {
  const place = `taxonomy-draft:${name}`;
  const version = original?.version ?? "";
  const [draft, setDraft] = useState(() => {
    try {
      const stored = JSON.parse(sessionStorage.getItem(place) ?? "null");
      if (stored && stored.version === version) return { value: drafts.revived(stored.draft), edited: true };
    } catch { /* a draft of another release */ }
    return { value: original ? drafts.fromDocument(original.document) : drafts.newDraft(), edited: false };
  });
  useLayoutEffect(() => { // at once: the page may be left at any moment
    if (draft.edited) sessionStorage.setItem(place, JSON.stringify({ version, draft: draft.value }));
    else sessionStorage.removeItem(place);
  }, [draft]);
  return {
    draft: draft.value, edited: draft.edited,
    edit: (/** @type {(draft: Draft) => Draft} */ change) => setDraft((old) => ({ value: change(old.value), edited: true })),
    discard: () => setDraft({ value: original ? drafts.fromDocument(original.document) : drafts.newDraft(), edited: false }),
    forget: () => sessionStorage.removeItem(place),
  };
}

/** @param {{original: any, label: string | null, certificates: any[]}} props */
function Write({ original, label, certificates }) {
  const isNew = original === null;
  const { draft, edited, edit, discard, forget } = useDraft(isNew ? "" : original.name, original);
  const rows = useMemo(() => drafts.walk(draft.rows), [draft]);
  const [active, setActive] = useState(() => (rows.find(({ row }) => row.name === label) ?? rows[0])?.row.id ?? 0);
  const [most, setMost] = useState(() => Math.max(STEP, rows.findIndex(({ row }) => row.name === label) + 1));
  const [sample, setSample] = useState(2000);
  const [planned, setPlanned] = useState(/** @type {{change: any, title: string, action?: string, danger?: boolean} | null} */ (null));
  const [refusal, setRefusal] = useState(/** @type {ReturnType<typeof sorted> | null} */ (null));
  const shown = rows.find(({ row }) => row.id === active)?.row;
  const trial = useTrial(draft, shown && drafts.isComplete(shown) ? shown.name.trim() : "", sample);
  const may = useMay("admin");
  const list = useRef(/** @type {HTMLUListElement | null} */ (null));
  const wanted = useRef("");

  useLayoutEffect(() => {
    if (wanted.current) /** @type {HTMLElement | null} */ (list.current?.querySelector(wanted.current))?.focus();
    wanted.current = "";
  });
  useEffect(() => setRefusal(null), [draft]);

  const add = (/** @type {number | null} */ parent) => {
    const row = drafts.newRow();
    wanted.current = nameOf(row);
    setMost(Infinity);
    setActive(row.id);
    edit((old) => (parent === null ? drafts.withLast(old, row) : drafts.withChild(old, parent, row)));
  };
  const remove = (/** @type {drafts.Row} */ row) => {
    const before = draft;
    const at = rows.findIndex((each) => each.row.id === row.id);
    const next = rows[at - 1]?.row ?? rows.find((each) => each.row.id !== row.id)?.row;
    wanted.current = next ? itemOf(next) : "";
    edit((old) => drafts.withoutRow(old, row.id));
    if (row.name || row.prompts) toast(`${row.name || "The label"} was removed from the draft.`, { action: { label: "Undo", run: () => edit(() => before) } });
  };
  const move = (/** @type {number} */ by) => {
    const at = rows.findIndex(({ row }) => row.id === active);
    const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.row;
    if (next) [wanted.current] = [itemOf(next)], setActive(next.id);
  };
  const write = () => shown && /** @type {HTMLElement | null | undefined} */ (list.current?.querySelector(nameOf(shown)))?.focus();
  const save = () => download(`${draft.fields.name || "taxonomy"}.yaml`, toFile(draft).text);
  const plan = () => setPlanned({ change: { add: [toFile(draft).text] }, title: `Plan of ${draft.fields.name || "a new taxonomy"}` });
  useKeys([
    { key: "n", does: "add a label", run: () => add(null) },
    { key: "j", does: "next label", run: () => move(1) },
    { key: "k", does: "previous label", run: () => move(-1) },
    { key: "Enter", does: "write into the label (Escape leaves it)", run: () => void write() },
    { key: "s", does: "save the taxonomy as a file", run: save },
    ...(may ? [{ key: "p", does: "plan the change", run: plan }] : []),
  ]);

  const errors = refusal ?? trial.refused;
  if (planned) {
    const { places } = toFile(draft);
    return html`<${Plan} ...${planned} back=${() => setPlanned(null)} done=${() => (forget(), navigate(link("taxonomies")))}
      refused=${(/** @type {any} */ error) => {
        if (error.status !== 422 || planned.danger) return error;
        const found = sorted(error, places);
        if (!found.rows.size && !found.fields.size) return error;
        setTimeout(() => {
          setRefusal(found);
          setPlanned(null);
          toast("The taxonomy is refused: look at the marked fields.", { kind: "error" });
        });
        return null;
      }} />`;
  }
  const byName = new Map((trial.result?.labels ?? []).map((/** @type {any} */ each) => [each.label, each]));
  const proofs = new Map([...certificates].sort((a, b) => Number(a.in_force) - Number(b.in_force)).map((each) => [each.label, each]));
  return html`<div class="row editor-bar">
      <h1 class="grow">${isNew ? "New taxonomy" : original.title}</h1>
      ${edited && html`<span class="chip warn">edited</span><button class="quiet" onClick=${discard}>Discard changes</button>`}
      <a class="button" href=${link("taxonomies")}>Taxonomies</a>
      <button onClick=${save}>Save as file</button>
      ${may && !isNew && html`<button onClick=${() => setPlanned({ change: { remove: [original.name] }, title: `Remove ${original.name}`, action: "Remove", danger: true })}>Remove …</button>`}
      ${may && html`<button class="primary" onClick=${plan}>Plan</button>`}
    </div>
    <${ReadOnly} />
    <${Settings} draft=${draft} isNew=${isNew} open=${false} errors=${errors.fields} set=${(/** @type {string} */ field, /** @type {any} */ value) => edit((old) => drafts.withField(old, field, value))} />
    ${trial.result && html`<${Summary} result=${trial.result} stale=${trial.stale} busy=${trial.busy} milliseconds=${trial.milliseconds} sample=${sample} setSample=${setSample} />`}
    ${!trial.result && !trial.error && html`<p class="muted" role="status">${trial.busy && rows.some(({ row }) => drafts.isComplete(row)) ? "Trying it: the first time, the model is loaded …" : "Write a label and a text that describes its images: what it does is shown here while you type."}</p>`}
    ${trial.error && (trial.error.status === 409 ? html`<p class="warn" role="status">${trial.error.detail}. Until then it can be written and saved, but not tried.</p>` : html`<${ErrorBox} error=${trial.error} retry=${trial.again} />`)}
    ${errors.rest.map((each) => html`<p class="error" role="alert">${each}</p>`)}
    ${(errors.fields.get("labels") ?? []).map((each) => html`<p class="error" role="alert">${each}</p>`)}
    <ul class="labels" ref=${list}>
      ${rows.slice(0, most).map(({ row, depth }) => html`<${LabelRow} key=${row.id} row=${row} depth=${depth} active=${row.id === active} stale=${trial.stale}
        tried=${byName.get(row.name.trim().normalize("NFC"))} certificate=${proofs.get(row.name)} many=${draft.fields.mode === "multi-label" && depth === 0} usual=${draft.fields.threshold ?? 0.5}
        errors=${errors.rows.get(row.id) ?? []} activate=${() => setActive(row.id)} remove=${() => remove(row)} addKind=${() => add(row.id)}
        change=${(/** @type {any} */ change) => edit((old) => drafts.withRow(old, row.id, change))}
        prompts=${(/** @type {string} */ text) => edit((old) => drafts.withPrompts(old, row, text))}
        threshold=${(/** @type {number | undefined} */ value) => edit((old) => drafts.withThreshold(old, row, value))} />`)}
    </ul>
    <div class="row">
      ${rows.length > most && html`<button onClick=${() => setMost(most + STEP)}>Show ${count(rows.length - most)} more labels</button>`}
      <button onClick=${() => add(null)}><${Icon} name="plus" />Add a label</button>
    </div>`;
}

/** Where the focus goes. @param {drafts.Row} row */
const nameOf = (row) => `[data-row="${row.id}"]`;
/** @param {drafts.Row} row */
const itemOf = (row) => `[data-item="${row.id}"]`;

/** @param {string} name @param {string} text */
function download(name, text) {
  const at = document.createElement("a");
  at.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  at.download = name;
  at.click();
  setTimeout(() => URL.revokeObjectURL(at.href), 10_000);
}
