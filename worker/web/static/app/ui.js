// The parts that all pages are made of.
import { address, ApiError } from "./api.js";
import { h, html, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";

// -- states of a page --------------------------------------------------------------------------------------------------
/** Something is being loaded: shown only if it takes longer than a moment. @param {{what: string}} props */
export function Loading({ what }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 250);
    return () => clearTimeout(timer);
  }, []);
  return html`<p class="loading" role="status">${late ? `Loading ${what} …` : ""}</p>`;
}

/** Nothing to show, and what to do about it. @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/** What went wrong, in the API's words. @param {{error: any, retry?: () => void}} props */
export function ErrorBox({ error, retry }) {
  const text = error instanceof ApiError ? error.detail : (error?.message ?? String(error));
  return html`<div class="error box" role="alert"><p>${text}</p>
    ${retry && html`<button onClick=${retry}>Try again</button>`}</div>`;
}

// -- messages ----------------------------------------------------------------------------------------------------------
/** @typedef {{id: number, text: string, kind: "done" | "error", action?: {label: string, run: () => void}}} Message */
/** @type {Message[]} */
let messages = [];
/** @type {Set<(all: Message[]) => void>} */
const listeners = new Set();
let next = 1;

/** @param {Message[]} all */
function publish(all) {
  messages = all;
  for (const each of listeners) each(all);
}

/**
 * Say something at the edge of the page for a few seconds; one with an action stays longer.
 * @param {string} text @param {{kind?: "done" | "error", action?: {label: string, run: () => void}}} [options]
 */
export function toast(text, { kind = "done", action } = {}) {
  const id = next++;
  publish([...messages.slice(-3), { id, text, kind, action }]);
  setTimeout(() => publish(messages.filter((each) => each.id !== id)), action ? 15_000 : kind === "error" ? 10_000 : 4_000);
}

/** Say what went wrong. @param {any} error */
export function toastError(error) {
  if (error?.name !== "AbortError") toast(error?.detail ?? error?.message ?? String(error), { kind: "error" });
}

/** Dialogs that are open. Everything outside of the last one cannot be reached, so that one shows the messages. */
let dialogs = 0;

/** @param {{dialog?: number}} props the dialog that it is in; 0: none */
export function Toasts({ dialog = 0 }) {
  const [all, setAll] = useState(messages);
  useEffect(() => {
    listeners.add(setAll);
    return () => void listeners.delete(setAll);
  }, []);
  const close = (/** @type {number} */ id) => publish(messages.filter((each) => each.id !== id));
  if (dialog !== dialogs) return null;
  return html`<div class="toasts" role="status" aria-live="polite">
    ${all.map(
      (each) => html`<div key=${each.id} class=${`toast ${each.kind}`}><span>${each.text}</span>
        ${each.action &&
        html`<button onClick=${() => (close(each.id), each.action?.run())}>${each.action.label}</button>`}
        <button class="quiet" aria-label="Close" onClick=${() => close(each.id)}>×</button></div>`,
    )}
  </div>`;
}

// -- dialogs -----------------------------------------------------------------------------------------------------------
/** A modal dialog: Escape closes it, and the focus returns where it was. @param {{title: string, close: () => void, children?: any}} props */
export function Dialog({ title, close, children }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [depth, setDepth] = useState(-1);
  useLayoutEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    setDepth(++dialogs);
    publish([...messages]);
    return () => {
      dialogs--;
      publish([...messages]);
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return html`<dialog ref=${ref} aria-label=${title} onClose=${close} onClick=${(/** @type {MouseEvent} */ event) => event.target === ref.current && close()}>
    <div class="dialog"><h2>${title}</h2>${children}<button class="quiet corner" aria-label="Close" onClick=${close}>×</button></div>
    <${Toasts} dialog=${depth} />
  </dialog>`;
}

/**
 * Ask before something that cannot be undone, or that many images are affected by.
 * @param {{title: string, action: string, run: () => Promise<any>, close: () => void, danger?: boolean, children?: any}} props
 */
export function Confirm({ title, action, run, close, danger = false, children }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const go = () => {
    setBusy(true);
    run().then(close, (refused) => (setBusy(false), setError(refused)));
  };
  return html`<${Dialog} title=${title} close=${close}>
    ${children}
    ${error && html`<${ErrorBox} error=${error} />`}
    <div class="actions"><button onClick=${close}>Cancel</button>
      <button class=${danger ? "danger" : "primary"} disabled=${busy} onClick=${go}>${action}</button></div>
  </${Dialog}>`;
}

// -- pictures ----------------------------------------------------------------------------------------------------------
/**
 * A preview of an image, or a sentence where there is none.
 * @param {{image: {key: string, links?: any}, large?: boolean, alt?: string}} props
 */
export function Thumb({ image, large = false, alt }) {
  const [failed, setFailed] = useState(false);
  const source = image.links && (large ? image.links.preview : image.links.thumbnail);
  useEffect(() => setFailed(false), [source]);
  if (failed || !source) return html`<span class="thumb none" role="img" aria-label=${`${image.key}: no preview`}>no preview</span>`;
  return h("img", {
    class: "thumb", src: address(source), alt: alt ?? image.key, loading: "lazy", decoding: "async", draggable: false,
    onError: () => setFailed(true),
  });
}

// -- icons -------------------------------------------------------------------------------------------------------------
/** @type {Record<string, string>} paths on a field of 24 × 24 */
const ICONS = {
  logo: "M4 5h16v14H4zM6 17l5-6 3 4 2-2 3 4",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
  check: "M4 12l5 5L20 6",
  tags: "M4 4h8l8 8-8 8-8-8zM8.5 8.5h.01",
  map: "M4 6l5-2 6 2 5-2v14l-5 2-6-2-5 2zM9 4v14M15 6v14",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  leave: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  bookmark: "M6 4h12v16l-6-4-6 4z",
  sliders: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4v6M9 14v6",
  swap: "M4 8h14l-4-4M20 16H6l4 4",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  picture: "M4 5h16v14H4zM8.5 10h.01M6 17l5-5 3 3 2-2 2 3",
};

/** @param {{name: string}} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}
