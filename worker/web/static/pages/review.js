// Review: choose a label and what to look at, then decide about pages of pictures.
import { api } from "../app/api.js";
import { html, useState } from "../app/lib.js";
import { useLoaded } from "../app/load.js";
import { link, useRoute } from "../app/router.js";
import { useMay } from "../app/session.js";
import { ErrorBox, Loading } from "../app/ui.js";
import { Labels } from "./review/labels.js";
import { AskReviewer, reviewerNow } from "./review/reviewer.js";
import { Session } from "./review/session.js";
import { Sources } from "./review/sources.js";

/** What the address says. @param {URLSearchParams} query @returns {import("./review/source.js").Choice} */
function choiceOf(query) {
  const text = (/** @type {string} */ name) => query.get(name) ?? "";
  return {
    taxonomy: text("taxonomy"), label: text("label"), query: text("query"), space: text("space"),
    queue: text("from") === "selection" ? "selection" : text("queue"),
    plan: query.has("plan") ? Number(text("plan")) : 0, unsure: text("unsure") === "1",
  };
}

export default function Page() {
  const choice = choiceOf(useRoute().query);
  if (Number.isNaN(choice.plan)) return html`<p class="error box" role="alert">The address names no review plan: its number is not one. <a href=${link("review")}>All labels</a></p>`;
  if (choice.plan) return html`<${OfPlan} key=${choice.plan} choice=${choice} />`;
  if (!choice.taxonomy || !choice.label) return html`<${Labels} choice=${choice} />`;
  if (!choice.queue || choice.queue === "random") return html`<${Sources} key=${choice.label} choice=${choice} />`;
  return html`<${Begin} key=${JSON.stringify(choice)} choice=${choice} plan=${null} />`;
}

/** A plan knows its taxonomy and label. @param {{choice: import("./review/source.js").Choice}} props */
function OfPlan({ choice }) {
  const { value, error, again } = useLoaded(`plan ${choice.plan}`, (signal) => api.get(`/v1/review-plans/${choice.plan}`, {}, signal));
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (!value) return html`<${Loading} what="the review plan" />`;
  const own = { ...choice, taxonomy: value.taxonomy, label: value.label ?? "", queue: value.queue };
  return html`<${Begin} choice=${own} plan=${value} />`;
}

/** Who reviews is asked once. @param {{choice: import("./review/source.js").Choice, plan: any}} props */
function Begin({ choice, plan }) {
  const may = useMay("review");
  const [reviewer, setReviewer] = useState(reviewerNow);
  const { value, error, again } = useLoaded(choice.taxonomy, (signal) => api.get(`/v1/taxonomies/${encodeURIComponent(choice.taxonomy)}`, {}, signal));
  if (error) return html`<${ErrorBox} error=${error} retry=${again} />`;
  if (may && !reviewer) return html`<${AskReviewer} done=${setReviewer} />`;
  if (!value) return html`<${Loading} what="the taxonomy" />`;
  return html`<${Session} key=${reviewer} choice=${choice} first=${plan} taxonomy=${value} reviewer=${reviewer} rename=${() => setReviewer("")} />`;
}
