// The third step: page after page of pictures, until nothing is left.
import { percent } from "../../app/format.js";
import { html, useEffect, useMemo, useReducer, useState } from "../../app/lib.js";
import { link, navigate, useRoute } from "../../app/router.js";
import { useMay } from "../../app/session.js";
import { Empty, ErrorBox, Icon, Loading } from "../../app/ui.js";
import { Bar } from "./bar.js";
import { ClosePlan } from "./close.js";
import { Conflicts, useConflicts } from "./conflicts.js";
import { useCursor } from "./cursor.js";
import { Large } from "./large.js";
import { Meter, Result, usePlan } from "./meter.js";
import { outbox, useOutbox } from "./outbox.js";
import { selection, sourceOf } from "./source.js";
import { Tiles } from "./tiles.js";
import { unmarked, Work } from "./work.js";

const SIZE = "enrich.review.size";
/** Queues whose images are left alone where they do not get the label, unless the person says otherwise. */
const ASSIGNING = new Set(["search", "selection", "label-error"]);

/** @typedef {import("./source.js").Choice} Choice @typedef {import("./work.js").Rules} Rules */

/** All labels, those below others, too: name → title. @param {any[]} labels @returns {[string, string][]} */
function titles(labels) {
  return (labels ?? []).flatMap((each) => [[each.name, each.title ?? each.name], ...titles(each.children)]);
}

/** The work of one choice, which goes back to others when the page is left. @param {Choice} choice @param {string} reviewer @param {number} size */
function useWork(choice, reviewer, size) {
  const may = useMay("review");
  const [, again] = useReducer((/** @type {number} */ n) => n + 1, 0);
  const [work] = useState(() => {
    const what = `${choice.taxonomy} = ${choice.label || "any label"}`;
    return new Work(sourceOf(choice, reviewer, may), { reviewer, taxonomy: choice.taxonomy, what, size }, () => again(0));
  });
  useEffect(() => {
    work.fill();
    outbox.restore();
    const leave = () => work.source.release([...work.page, ...work.queue]);
    addEventListener("pagehide", leave);
    return () => (removeEventListener("pagehide", leave), work.close());
  }, []);
  return work;
}

/** What a mark means: the address says it, so that a link leads to the same. @param {Choice} choice */
function useRules(choice) {
  const { query } = useRoute();
  const mode = query.get("mode") ?? (choice.queue === "label-error" ? "only" : "not");
  const others = query.get("others") ?? (ASSIGNING.has(choice.queue) ? "leave" : "reject");
  const rules = /** @type {Rules} */ ({ mode, rejects: Boolean(choice.plan) || others === "reject" });
  const setRules = (/** @type {Rules} */ next) => {
    const wanted = new URLSearchParams(query);
    wanted.set("mode", next.mode);
    wanted.set("others", next.rejects ? "reject" : "leave");
    navigate(link("review", wanted), { replace: true });
  };
  return { rules, setRules };
}

/** Pictures on a page: as many as fit well, unless the person chose. */
function sizeNow() {
  const kept = Number(localStorage.getItem(SIZE));
  return kept >= 6 && kept <= 100 ? kept : innerWidth < 600 ? 18 : 40;
}

/** @param {{choice: Choice, first: any, taxonomy: any, reviewer: string, rename: () => void}} props */
export function Session({ choice, first, taxonomy, reviewer, rename }) {
  const readOnly = !useMay("review");
  const labels = useMemo(() => titles(taxonomy.definition.labels), [taxonomy]);
  const [size, setSize] = useState(sizeNow);
  const { rules, setRules } = useRules(choice);
  const work = useWork(choice, reviewer, size);
  useOutbox();
  const { plan, spent } = usePlan(first);
  const conflicts = useConflicts(work);
  const [large, setLarge] = useState(false);
  const title = (/** @type {string} */ name) => labels.find(([each]) => each === name)?.[1] ?? name;
  const cursor = useCursor({ work, rules, labels, readOnly, large, setLarge });
  const resize = (/** @type {number} */ wanted) => {
    localStorage.setItem(SIZE, String(wanted));
    setSize(wanted);
    work.resize(wanted);
  };
  const asked = choice.label ? title(choice.label) : "";
  const what = sayer(asked, title);
  const verdicts = work.page.map((each) => work.verdict(each, rules));
  return html`<section class="review">
    <header class="review-head">
      <${Question} choice=${choice} taxonomy=${taxonomy} asked=${asked} rules=${rules} reviewer=${readOnly ? "" : reviewer} rename=${rename} />
      <${Meter} plan=${plan} spent=${spent} work=${work} />
    </header>
    ${readOnly && html`<p class="chip warn">You may look. Deciding needs the review token.</p>`}
    <${Unsent} />
    <${Result} plan=${plan} spent=${spent} done=${work.ended && !work.page.length} />
    <${Conflicts} conflicts=${conflicts} work=${work} what=${what} />
    ${work.page.length > 0 ? html`<${Tiles} items=${work.page} verdicts=${verdicts} at=${cursor.at} selected=${cursor.selected} label=${question(asked, rules)}
      what=${what} usual=${unmarked(rules).kind} caption=${captions(choice, title)} readOnly=${readOnly}
      press=${cursor.press} sweep=${cursor.sweep} sized=${(/** @type {boolean} */ wide) => (work.large = wide)} enlarge=${(/** @type {number} */ index) => (cursor.go(index), setLarge(true))} />`
    : html`<${Nothing} work=${work} plan=${plan} choice=${choice} readOnly=${readOnly} />`}
    <${Bar} work=${work} rules=${rules} setRules=${setRules} plan=${plan} verdicts=${verdicts} what=${what} asked=${asked} labels=${labels} cursor=${cursor}
      readOnly=${readOnly} size=${size} resize=${resize} reviewer=${reviewer} />
    ${large && work.page[cursor.at] && html`<${Large} item=${work.page[cursor.at]} what=${what(verdicts[cursor.at])} taxonomy=${choice.taxonomy} hidden=${choice.queue === "random"} close=${() => setLarge(false)} />`}
  </section>`;
}

/** Verdicts in words. @param {string} asked title of the label; empty: each image has its own @param {(name: string) => string} title @returns {(verdict: import("./work.js").Verdict) => string} */
const sayer = (asked, title) => ({ kind, label }) =>
  ({ accept: asked || "right", reject: `not ${asked || "right"}`, replace: title(label ?? ""), none: "none of these", unsure: "unsure", skip: "left alone" })[kind];

/** What stands on each picture: no probability in a random sample, because it would sway the person. @param {Choice} choice @param {(name: string) => string} title @returns {(item: any) => string} */
const captions = ({ queue, label }, title) => (item) => {
  if (!label) return title(item.label);
  if (queue === "label-error" || queue === "disagreement") return item.why;
  return queue === "random" || item.probability === null ? "" : percent(item.probability);
};

/** @param {string} asked @param {Rules} rules */
const question = (asked, { mode }) => (asked ? `Which of these are${mode === "not" ? " not" : ""} ${asked}?` : `Which of these labels are ${mode === "not" ? "wrong" : "right"}?`);

/** @param {{choice: Choice, taxonomy: any, asked: string, rules: Rules, reviewer: string, rename: () => void}} props */
function Question({ choice, taxonomy, asked, rules, reviewer, rename }) {
  const back = choice.label ? link("review", { taxonomy: choice.taxonomy, label: choice.label }) : link("review");
  const searched = choice.queue === "search" && choice.query ? ` · “${choice.query}”` : "";
  return html`<div><p class="crumbs"><a href=${back}>${taxonomy.title}</a> <span class="muted">/ ${NAMES[choice.queue] ?? choice.queue}${searched}</span>
      ${reviewer && html` <button class="quiet name" title="Another person reviews" onClick=${rename}>by ${reviewer}</button>`}</p>
    <h1>${asked && rules.mode === "not" ? html`Which of these are <em>not</em> ${asked}?` : question(asked, rules)}</h1></div>`;
}

/** @type {Record<string, string>} */
const NAMES = {
  random: "random sample", uncertain: "most uncertain", disagreement: "disagreement", search: "search", "label-error": "likely mistakes of people", selection: "your selection",
};

/** Nothing is lost, and the person is told. */
function Unsent() {
  const failed = outbox.unsent.filter((each) => each.error);
  if (!failed.length) return null;
  const count = outbox.unsent.reduce((sum, each) => sum + each.decisions.length, 0);
  const refused = failed.find((each) => each.state === "refused");
  return html`<div class="unsent" role="alert"><span class="grow"><strong>${count} decisions are not stored yet.</strong> ${failed[0].error.detail ?? String(failed[0].error)}
      ${refused ? "" : " They are kept in this browser and sent again; you can go on."}</span>
    ${refused && html`<button onClick=${() => outbox.discard(refused)}>Discard</button>`}
    <button onClick=${() => outbox.retry()}>Try now</button></div>`;
}

/** @param {{work: Work, plan: any, choice: Choice, readOnly: boolean}} props */
function Nothing({ work, plan, choice, readOnly }) {
  if (work.error) return html`<${ErrorBox} error=${work.error} retry=${() => work.again()} />`;
  if (!work.ended) return html`<${Loading} what="pictures" />`;
  const others = plan && plan.closed_at === null ? plan.remaining : 0;
  const to = link("review", { taxonomy: choice.taxonomy, label: choice.label });
  if (others) return html`<${Empty} title="Nothing is left for you at the moment"><p>${others} images of the plan are with other reviewers, or are being stored.</p>
    <button onClick=${() => work.again()}>Look again</button></${Empty}>`;
  if (choice.queue === "selection" && !selection().length) return html`<${Empty} title="No images were handed over">
    <p>Select some on the <a href=${link("search")}>search page</a> or the <a href=${link("map")}>map</a> first. A selection is kept in its own tab only.</p></${Empty}>`;
  return html`<${Empty} title=${work.decided ? "All done" : "Nothing is left to review there"}>
    <p>${work.decided ? `You decided about ${work.decided} images.` : choice.queue === "label-error" ? "The model contradicts no decision about it." : "Every such image is decided."}${work.left ? ` ${work.left} were left alone.` : ""}</p>
    <p><a class="button" href=${to}><${Icon} name="check" />What else to look at</a>${" "}
      ${plan && !plan.closed_at && !readOnly && html`<${ClosePlan} plan=${plan} reviewer=${work.about.reviewer} done=${() => navigate(to)} />`}</p></${Empty}>`;
}
