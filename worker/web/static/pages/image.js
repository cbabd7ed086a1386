// The page of one image: the picture, what is said about it and why, and what a person says.
import { address, api, objectPath } from "../app/api.js";
import { useKeys } from "../app/keys.js";
import { html, useCallback, useEffect, useMemo, useState } from "../app/lib.js";
import { link, navigate } from "../app/router.js";
import { Empty, ErrorBox, Icon, Loading, Thumb, toast, toastError } from "../app/ui.js";
import { Details, History, openOriginal } from "./image/details.js";
import { reviewer } from "./image/decide.js";
import { Similar } from "./image/similar.js";
import { forget, neighbours } from "./search/results.js";
import { AskReviewer, Tags } from "./image/tags.js";

/** @param {{query: URLSearchParams}} props */
export default function Page({ query }) {
  const [bucket, key] = [query.get("bucket") ?? "", query.get("key") ?? ""];
  if (!bucket || !key) return html`<${Empty} title="Which image?"><p>The address names none: it needs a bucket and a key. <a href=${link("search")}>Search</a> for one.</p></${Empty}>`;
  return html`<${Loader} key=${`${bucket}/${key}`} bucket=${bucket} name=${key} />`;
}

const DECISIONS = 50;

/** @param {{bucket: string, name: string}} props */
function Loader({ bucket, name }) {
  const path = objectPath(bucket, name);
  const [image, setImage] = useState(/** @type {any} */ (null));
  const [decisions, setDecisions] = useState({ all: /** @type {any[]} */ ([]), next: /** @type {number | null} */ (null) });
  const [error, setError] = useState(/** @type {any} */ (null));
  const history = useCallback((/** @type {number} */ limit) => api.get("/v1/decisions", { bucket, key: name, limit }).then((found) => setDecisions({ all: found.decisions, next: found.next })), [path]);
  const reload = useCallback(async () => {
    try {
      const [found] = await Promise.all([api.get(`/v1/images/${path}`), history(DECISIONS)]);
      setImage(found);
      setError(null);
      return found;
    } catch (refused) {
      setError(refused);
      return null;
    }
  }, [path]);
  useEffect(() => void reload(), [path]);
  if (error && !image) return error.status === 404 ? html`<${Absent} bucket=${bucket} name=${name} problem=${error.problem} again=${reload} />` : html`<${ErrorBox} error=${error} retry=${reload} />`;
  if (!image) return html`<${Loading} what="the image" />`;
  return html`<${Shown} image=${image} path=${path} decisions=${decisions.all} show=${setImage} reload=${reload} more=${decisions.next === null ? null : () => void history(1_000)} />`;
}

/** @param {{image: any, path: string, decisions: any[], show: (image: any) => void, reload: () => Promise<any>, more: (() => void) | null}} props */
function Shown({ image, path, decisions, show, reload, more }) {
  const [seen, setSeen] = useState(false);
  const [undoing, setUndoing] = useState(/** @type {number | null} */ (null)); // once it is known who does
  const like = link("search", { like: `image:${image.bucket}/${image.key}` });
  const undo = (/** @type {number} */ id) => {
    if (!reviewer()) return setUndoing(id);
    setUndoing(null);
    api.remove("/v1/decisions", { id, reviewer: reviewer() }).then(() => (toast("Taken back."), forget(), reload()), toastError);
  };
  const { before, after } = useMemo(() => neighbours(image.bucket, image.key), [path]);
  const go = (/** @type {any} */ to) => to && (navigate(link("image", { bucket: to.bucket, key: to.key }), { replace: true }), scrollTo(0, 0));
  useKeys([
    ...(before || after ? [
      { key: "ArrowLeft", does: "the picture before it in the search", run: () => go(before) },
      { key: "ArrowRight", does: "the picture after it in the search", run: () => go(after) },
    ] : []),
    { key: "s", does: "search for similar images", run: () => navigate(like) },
    { key: "o", does: "open the original", run: () => void openOriginal(image, path) },
    { key: "v", does: "what the model saw", run: () => setSeen(!seen) },
  ]);
  const name = image.key.slice(image.key.lastIndexOf("/") + 1);
  return html`<article class="image-page">
    <div class="image-left">
      <div class=${`figures${seen ? " two" : ""}`}>
        <figure class="picture"><${Thumb} image=${image} large alt=${image.key} />
          ${before && html`<button class="step before" title="Previous (←)" aria-label="Previous picture" onClick=${() => go(before)}>‹</button>`}
          ${after && html`<button class="step after" title="Next (→)" aria-label="Next picture" onClick=${() => go(after)}>›</button>`}</figure>
        ${seen && html`<${ModelInput} path=${path} sha256=${image.sha256} />`}
      </div>
      <div class="row image-bar">
        <a class="button" href=${like}><${Icon} name="search" />Similar images</a>
        <button onClick=${() => openOriginal(image, path)}><${Icon} name="picture" />Open original</button>
        <button aria-pressed=${seen} onClick=${() => setSeen(!seen)}>What the model saw</button>
      </div>
    </div>
    <div class="image-similar"><${Similar} image=${image} /></div>
    <div class="image-right">
      <h1>${name || image.key}</h1>
      <${Tags} image=${image} decisions=${decisions} all=${more === null} show=${show} reload=${reload} undo=${undo} />
      <${History} image=${image} decisions=${decisions} undo=${undo} more=${more} />
      <${Details} image=${image} />
    </div>
    ${undoing !== null && html`<${AskReviewer} close=${() => setUndoing(null)} done=${() => undo(undoing)} />`}
  </article>`;
}

/** @param {{path: string, sha256: string}} props */
function ModelInput({ path, sha256 }) {
  const [state, setState] = useState("loading");
  const [error, setError] = useState(/** @type {any} */ (null));
  const source = address(`/v1/model-inputs/${path}?sha256=${sha256}`);
  const failed = () => {
    setState("failed");
    api.bytes(`/v1/model-inputs/${path}`, { sha256 }).catch(setError);
  };
  return html`<figure class="picture model-input">
    ${state === "failed" ? error && html`<${ErrorBox} error=${error} />` : html`<img class="thumb" src=${source} alt="What the model saw: cropped, scaled and with the colours that it gets" onLoad=${() => setState("shown")} onError=${failed} />`}
    <figcaption class="muted">${state === "loading" ? "Making it from the original …" : "As the model saw it"}</figcaption></figure>`;
}

const ADVICE = /** @type {Record<string, string>} */ ({
  pending: "It is waiting for a worker. This page can be loaded again in a moment.",
  quarantined: "It can be tried again under Operations.",
});

/** What is known about an object that is not in the catalog. @param {{bucket: string, name: string, problem: any, again: () => void}} props */
function Absent({ bucket, name, problem, again }) {
  return html`<${Empty} title=${`${bucket}/${name}`}>
    <p class="row absent-state"><span class=${`chip ${problem.state === "pending" ? "warn" : "bad"}`}>${problem.state ?? "not found"}</span>${problem.reason && html`<span class="chip">${problem.reason}</span>`}</p>
    <p>${problem.detail}</p><p>${ADVICE[problem.state] ?? ""}</p>
    <div class="row absent-state"><button onClick=${again}>Look again</button>${problem.state === "quarantined" && html`<a class="button" href=${link("operations")}>Operations</a>`}</div></${Empty}>`;
}
