// The search box: words, pictures that are dropped or pasted, and the examples that are in use.
import { address, objectPath } from "../../app/api.js";
import { html, useEffect, useRef, useState } from "../../app/lib.js";
import { useKeys } from "../../app/keys.js";
import { Icon, toastError } from "../../app/ui.js";
import { exampleName } from "./query.js";
import { embedded, pictures, preview } from "./upload.js";

/** @typedef {import("./query.js").Search} Search */

/** @param {{search: Search, change: (search: Search) => void, children?: any}} props */
export function Box({ search, change, children }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const file = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState(search.text);
  const [busy, setBusy] = useState(0);
  const latest = useRef(search);
  latest.current = search;
  const shown = useRef(search.text);
  useEffect(() => {
    if (shown.current !== search.text) setText(search.text); // not at first: somebody may be typing already
    shown.current = search.text;
  }, [search.text]);
  useKeys([{ key: "/", does: "search: type words", run: () => field.current?.select() }]);

  const upload = (/** @type {File[]} */ files) => {
    if (!files.length) return;
    setBusy((n) => n + 1);
    Promise.all(files.slice(0, 8).map(embedded))
      .then((found) => change({ ...latest.current, like: [...latest.current.like, ...found] }), toastError)
      .finally(() => setBusy((n) => n - 1));
  };
  const over = useDrop(upload);
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    change({ ...search, text });
  };
  return html`<form class="box" role="search" onSubmit=${submit}>
    <div class="box-field">
      <${Icon} name="search" />
      <input ref=${field} type="search" aria-label="Search by words" placeholder="Search by words, or drop a picture" value=${text} enterkeyhint="search"
        maxlength="2000" onInput=${(/** @type {any} */ event) => setText(event.target.value)}
        onSearch=${(/** @type {any} */ event) => event.target.value || change({ ...search, text: "" })}
        onPaste=${(/** @type {ClipboardEvent} */ event) => upload(pictures(event.clipboardData))} />
      <button type="button" class="quiet" aria-label="Search by picture" onClick=${() => file.current?.click()}><${Icon} name="picture" /><span class="wide">By picture</span></button>
      <input ref=${file} class="visually-hidden" type="file" accept="image/*" multiple tabindex="-1" aria-label="Search by a picture"
        onChange=${(/** @type {any} */ event) => (upload([...event.target.files]), (event.target.value = ""))} />
      ${children}
    </div>
    <${Chips} search=${search} change=${change} />
    ${busy > 0 && html`<p class="muted" role="status">Looking at the picture …</p>`}
    ${over && html`<div class="drop">Drop the picture to find others like it</div>`}
  </form>`;
}

/** Pictures dropped anywhere on the page, or pasted where nothing is typed. @param {(files: File[]) => void} take */
function useDrop(take) {
  const [over, setOver] = useState(false);
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    const drag = (/** @type {DragEvent} */ event) => hasFiles(event) && (event.preventDefault(), setOver(true));
    const leave = (/** @type {DragEvent} */ event) => event.relatedTarget === null && setOver(false);
    const drop = (/** @type {DragEvent} */ event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      latest.current(pictures(event.dataTransfer));
    };
    const paste = (/** @type {ClipboardEvent} */ event) =>
      /** @type {Element} */ (event.target).matches?.("input, textarea") || latest.current(pictures(event.clipboardData));
    /** @type {[string, any][]} */
    const all = [["dragover", drag], ["dragleave", leave], ["drop", drop], ["paste", paste]];
    for (const [name, run] of all) document.addEventListener(name, run);
    return () => {
      for (const [name, run] of all) document.removeEventListener(name, run);
    };
  }, []);
  return over;
}

/** @param {{search: Search, change: (search: Search) => void}} props */
function Chips({ search, change }) {
  if (!search.like.length && !search.unlike.length) return null;
  /** @param {"like" | "unlike"} side @param {number} at */
  const remove = (side, at) => change({ ...search, [side]: search[side].filter((_, index) => index !== at) });
  const chip = (/** @type {"like" | "unlike"} */ side) => search[side].map((each, at) => html`<li key=${`${side} ${each.value}`} class=${`example ${side}`}>
    <${Picture} example=${each} />
    <span class="example-name"><span class="visually-hidden">${side === "like" ? "like " : "unlike "}</span>${side === "like" ? "" : "not "}${exampleName(each)}</span>
    <button type="button" class="quiet" aria-label=${`Remove ${exampleName(each)}`} onClick=${() => remove(side, at)}><${Icon} name="close" /></button>
  </li>`);
  return html`<ul class="examples" aria-label="Examples">${chip("like")}${chip("unlike")}</ul>`;
}

/** @param {{example: import("./query.js").Example}} props */
function Picture({ example: { kind, value } }) {
  if (kind === "image") {
    const slash = value.indexOf("/");
    return html`<img alt="" src=${address(`/v1/previews/256/${objectPath(value.slice(0, slash), value.slice(slash + 1))}`)} />`;
  }
  const found = kind === "vector" ? preview(value) : null;
  return found ? html`<img alt="" src=${found.picture} />` : html`<${Icon} name=${kind === "vector" ? "picture" : "tags"} />`;
}
