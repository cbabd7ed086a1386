// The tags of an image by taxonomy, and what a person says about them.
import { api } from "../../app/api.js";
import { moment, percent } from "../../app/format.js";
import { html, useEffect, useMemo, useRef, useState } from "../../app/lib.js";
import { useKeys } from "../../app/keys.js";
import { useLoaded } from "../../app/load.js";
import { useMay } from "../../app/session.js";
import { Dialog, ErrorBox, Icon } from "../../app/ui.js";
import { inForce, rememberReviewer, reviewer, useDecisions } from "./decide.js";
import { Explained } from "./why.js";

/** @typedef {{kind: "tag" | "suggestion" | "rejected", tag: any}} Row */

/** @param {any} image @returns {[string, Row[]][]} by taxonomy */
function rowsOf(image) {
  /** @type {Map<string, Row[]>} */
  const found = new Map();
  const add = (/** @type {Row["kind"]} */ kind, /** @type {any} */ tag) => found.set(tag.taxonomy, [...(found.get(tag.taxonomy) ?? []), { kind, tag }]);
  for (const tag of image.tags) if (tag.in_force) add("tag", tag);
  for (const tag of image.suggestions) add("suggestion", tag);
  for (const tag of image.rejected_tags) add("rejected", tag);
  return [...found].sort(([one], [other]) => one.localeCompare(other));
}

/**
 * @param {{image: any, decisions: any[], all: boolean, show: (image: any) => void, reload: () => Promise<any>, undo: (id: number) => void}} props
 */
export function Tags({ image, decisions, all, show, reload, undo }) {
  const may = useMay("review");
  const groups = useMemo(() => rowsOf(image), [image]);
  const rows = groups.flatMap(([, all]) => all);
  const [at, setAt] = useState(0);
  const [replacing, setReplacing] = useState(/** @type {{taxonomy: string, tag: any} | null} */ (null));
  const [waiting, setWaiting] = useState(/** @type {import("./decide.js").Decision | null} */ (null));
  const [why, setWhy] = useState(/** @type {Set<string>} */ (new Set()));
  const { decide, conflict, settle } = useDecisions(image, decisions, all, show, reload, undo);
  const current = rows[Math.min(at, rows.length - 1)];
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" }), [at]);

  const ask = (/** @type {import("./decide.js").Decision} */ decision) => (reviewer() ? void decide(decision) : setWaiting(decision));
  const about = (/** @type {Row | undefined} */ row, /** @type {"accept" | "reject"} */ verdict) =>
    row && row.tag.label !== null && ask({ taxonomy: row.tag.taxonomy, verdict, label: row.tag.label, tag: row.tag });
  const whole = (/** @type {string | undefined} */ taxonomy, /** @type {"none" | "unsure"} */ verdict, /** @type {any} */ tag) =>
    taxonomy && ask({ taxonomy, verdict, label: verdict === "unsure" ? tag?.label ?? null : null, tag });
  const newest = decisions.find((each) => each.undone_by === null && each.verdict !== "undo");
  const explain = (/** @type {string} */ taxonomy) => setWhy((old) => {
    const next = new Set(old);
    if (!next.delete(taxonomy)) next.add(taxonomy);
    return next;
  });
  const taxonomy = current?.tag.taxonomy;
  useKeys([
    { key: "j", does: "next tag", run: () => setAt(Math.min(at + 1, rows.length - 1)) },
    { key: "k", does: "previous tag", run: () => setAt(Math.max(0, at - 1)) },
    ...(taxonomy ? [{ key: "w", does: "why: show what was compared", run: () => explain(taxonomy) }] : []),
    ...(may ? [
      { key: "a", does: "accept the tag", run: () => void about(current, "accept") },
      { key: "r", does: "reject the tag", run: () => void about(current, "reject") },
      { key: "e", does: "another label instead", run: () => taxonomy && setReplacing({ taxonomy, tag: current.tag.label === null ? null : current.tag }) },
      { key: "n", does: "none of the labels", run: () => void whole(taxonomy, "none", current?.tag) },
      { key: "u", does: "unsure", run: () => void whole(taxonomy, "unsure", current?.tag) },
      { key: "z", does: "undo the last decision", run: () => newest && undo(newest.id) },
    ] : []),
  ]);

  return html`<section class="image-tags" aria-label="Tags" ref=${list}>
    ${conflict && html`<div class="error box" role="alert"><p><strong>Not saved: something changed meanwhile.</strong> ${conflict.why}</p>
      <p>You saw ${conflict.decision.taxonomy}: <strong>${conflict.seen.join(", ") || "none"}</strong>. Now it is <strong>${conflict.now.join(", ") || "none"}</strong>.</p>
      <div class="actions"><button onClick=${settle}>Keep what is there</button><button class="primary" onClick=${() => ask(conflict.decision)}>Decide all the same</button></div></div>`}
    ${groups.length === 0 && html`<p class="muted">No taxonomy has said anything about this image yet.</p>`}
    ${groups.map(([name, all]) => html`<div class="taxonomy" key=${name}>
      <h3>${name}</h3>
      <ul>${all.map((row) => html`<${TagRow} key=${`${row.kind} ${row.tag.label}`} row=${row} current=${row === current} may=${may} choose=${() => setAt(rows.indexOf(row))}
        about=${about} replace=${() => setReplacing({ taxonomy: name, tag: row.kind === "rejected" ? null : row.tag })} undo=${undo} />`)}</ul>
      <div class="row taxonomy-actions"><button class="quiet" aria-expanded=${why.has(name)} onClick=${() => explain(name)}>Why</button>
        ${may && html`<button class="quiet" onClick=${() => setReplacing({ taxonomy: name, tag: null })}>Add a label</button>
          <button class="quiet" onClick=${() => whole(name, "none", null)}>None of these</button><button class="quiet" onClick=${() => whole(name, "unsure", all[0]?.tag)}>Unsure</button>`}</div>
      ${why.has(name) && html`<${Explained} image=${image} taxonomy=${name} />`}
    </div>`)}
    ${replacing && html`<${ChooseLabel} taxonomy=${replacing.taxonomy} held=${inForce(image, replacing.taxonomy)} close=${() => setReplacing(null)}
      choose=${(/** @type {string} */ label) => (setReplacing(null), ask({ taxonomy: replacing.taxonomy, verdict: replacing.tag ? "replace" : "accept", label, tag: replacing.tag }))} />`}
    ${waiting && html`<${AskReviewer} close=${() => setWaiting(null)} done=${() => (setWaiting(null), void decide(waiting))} />`}
  </section>`;
}

const SOURCES = /** @type {Record<string, string>} */ ({ "few-shot": "trained head", "text-fusion": "text in the picture" });

/** Where a tag comes from. @param {{tag: any, kind: Row["kind"]}} props */
function Source({ tag, kind }) {
  if (kind === "rejected") return html`<span class="chip bad">rejected by ${tag.reviewer}</span>`;
  if (kind === "suggestion") return html`<span class="chip warn" title="Reviews have not proven that such tags reach the precision that the taxonomy asks for.">suggested</span>`;
  if (tag.source === "human") return html`<span class="chip good">${tag.reviewer ?? "a person"}</span>`;
  const proven = tag.proven && html`<span class="chip good" title=${`Proven by ${tag.proven.n} reviewed images on ${moment(tag.proven.date)}`}>≥ ${percent(tag.proven.precision)} right</span>`;
  return html`${proven}<span class="muted tag-source" title=${`${tag.model}, space ${tag.space}, taxonomy version ${tag.taxonomy_version}`}>${SOURCES[tag.source] ?? tag.source}</span>`;
}

/**
 * @param {{row: Row, current: boolean, may: boolean, choose: () => void, about: (row: Row, verdict: "accept" | "reject") => void, replace: () => void, undo: (id: number) => void}} props
 */
function TagRow({ row, current, may, choose, about, replace, undo }) {
  const { kind, tag } = row;
  const label = tag.label ?? "none of the labels";
  const probability = kind === "rejected" ? null : tag.probability;
  return html`<li class=${`tag-row ${kind}`} aria-current=${current ? "true" : null} onClick=${choose}>
    <span class="tag-label">${tag.label === null ? html`<span class="muted">${label}</span>` : kind === "rejected" ? html`<s>${label}</s>` : label}</span>
    <${Source} tag=${tag} kind=${kind} />
    <span class="tag-number" title=${tag.label === null && probability !== null ? "the probability of the likeliest label" : null}>${probability === null ? "" : `${tag.label === null ? "at most " : ""}${percent(probability)}`}</span>
    ${may && html`<span class="tag-actions">
      ${tag.label !== null && kind !== "rejected" && tag.source !== "human" && html`<button class="quiet" title="Accept (a)" aria-label=${`Accept ${label}`} onClick=${() => about(row, "accept")}><${Icon} name="check" /></button>`}
      ${tag.label !== null && kind !== "rejected" && html`<button class="quiet" title="Reject (r)" aria-label=${`Reject ${label}`} onClick=${() => about(row, "reject")}><${Icon} name="close" /></button>
        <button class="quiet" title="Another label instead (e)" aria-label=${`Another label instead of ${label}`} onClick=${replace}><${Icon} name="swap" /></button>`}
      ${tag.decision > 0 && html`<button class="quiet" title="Undo" aria-label=${`Undo the decision about ${label}`} onClick=${() => undo(tag.decision)}><${Icon} name="undo" /></button>`}
    </span>`}
    ${probability !== null && html`<span class="bar"><span style=${{ width: `${100 * probability}%` }}></span></span>`}
  </li>`;
}

/** Type a few letters of a label. @param {{taxonomy: string, held: string[], choose: (label: string) => void, close: () => void}} props */
function ChooseLabel({ taxonomy, held, choose, close }) {
  const { value, error, again } = useLoaded(`taxonomy ${taxonomy}`, (signal) => api.get(`/v1/taxonomies/${encodeURIComponent(taxonomy)}`, {}, signal));
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const all = useMemo(() => (value ? labelsOf(value.definition.labels) : []), [value]);
  const found = all.filter((each) => each.words.includes(text.trim().toLowerCase()) && !held.includes(each.name)).slice(0, 12);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((old) => Math.max(0, Math.min(found.length - 1, old + step)));
    else if (event.key === "Enter" && found[at]) choose(found[at].name);
    else return;
    event.preventDefault();
  };
  return html`<${Dialog} title=${`Label of ${taxonomy}`} close=${close}>
    ${error && html`<${ErrorBox} error=${error} retry=${again} />`}
    <input class="choose" type="text" role="combobox" aria-expanded="true" aria-controls="labels" aria-label="Label" autofocus placeholder="Type a few letters" value=${text}
      aria-activedescendant=${found[at] ? `label-${at}` : null} onInput=${(/** @type {any} */ event) => (setText(event.target.value), setAt(0))} onKeyDown=${onKeyDown} />
    <ul id="labels" class="choices" role="listbox" aria-label="Labels">${found.map((each, index) => html`<li key=${each.name} id=${`label-${index}`} role="option" aria-selected=${index === at} onClick=${() => choose(each.name)}>
      ${each.title}${each.title === each.name ? "" : html` <span class="muted">${each.name}</span>`}</li>`)}</ul>
    ${value && !found.length && html`<p class="muted">No other label of ${taxonomy} has these letters.</p>`}
  </${Dialog}>`;
}

/** Labels and those below them. @param {any[]} labels @returns {{name: string, title: string, words: string}[]} */
function labelsOf(labels) {
  return labels.flatMap((each) => [
    { name: each.name, title: each.title || each.name, words: [each.name, each.title, ...(each.aliases ?? [])].join("\n").toLowerCase() },
    ...labelsOf(each.children ?? []),
  ]);
}

/** @param {{done: () => void, close: () => void}} props */
export function AskReviewer({ done, close }) {
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    const name = event.target.elements.reviewer.value.trim();
    if (!name) return;
    rememberReviewer(name);
    done();
  };
  return html`<${Dialog} title="Who is deciding?" close=${close}><form onSubmit=${submit}>
    <p>Every decision keeps the name of the person who made it. This browser remembers it.</p>
    <div class="row"><input class="grow" name="reviewer" aria-label="Your name" maxlength="200" autocomplete="username" autofocus required /><button class="primary">Go on</button></div>
  </form></${Dialog}>`;
}
