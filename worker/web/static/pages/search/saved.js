// Saved queries: opened, saved under a name, deleted with a way back.
import { api } from "../../app/api.js";
import { html, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { useMay } from "../../app/session.js";
import { Dialog, ErrorBox, Icon, Loading, toast, toastError } from "../../app/ui.js";
import { addressOf, isSearch, requestOf, searchSaved } from "./query.js";
import { RELEVANT } from "./results.js";

/** @param {{search: import("./query.js").Search, open: (search: import("./query.js").Search) => void}} props */
export function Saved({ search, open }) {
  const [shown, setShown] = useState(false);
  return html`<button type="button" class="quiet" aria-label="Saved searches" aria-haspopup="dialog" onClick=${() => setShown(true)}><${Icon} name="bookmark" /><span class="wide">Saved</span></button>
    ${shown && html`<${List} search=${search} open=${open} close=${() => setShown(false)} />`}`;
}

const place = (/** @type {string} */ name) => `/v1/queries/${encodeURIComponent(name)}`;

/** The request that makes it again: its vectors with their space. @param {any} saved */
function again({ query, space }) {
  const named = (/** @type {any[]} */ examples) => examples.map((each) => (each.vector ? { ...each, space } : each));
  return { ...query, ...(query.like ? { like: named(query.like) } : {}), ...(query.unlike ? { unlike: named(query.unlike) } : {}) };
}

/** @param {{search: import("./query.js").Search, open: (search: import("./query.js").Search) => void, close: () => void}} props */
function List({ search, open, close }) {
  const may = useMay("review");
  const [times, setTimes] = useState(0);
  const { value, error, again: retry } = useLoaded(`queries ${times}`, (signal) => api.get("/v1/queries", {}, signal));
  const reload = () => setTimes((n) => n + 1);
  const remove = (/** @type {any} */ each) =>
    api.remove(place(each.name)).then(() => {
      reload();
      toast(`Deleted “${each.name}”.`, { action: { label: "Undo", run: () => void api.put(place(each.name), again(each)).then(reload, toastError) } });
    }, toastError);
  const save = (/** @type {any} */ event) => {
    event.preventDefault();
    event.stopPropagation();
    const name = event.target.elements.name.value.trim();
    // Asked for now: the list may be older than a search that was saved a moment ago.
    const before = api.get(place(name)).catch((/** @type {any} */ refused) => (refused.status === 404 ? null : Promise.reject(refused)));
    before.then(async (old) => {
      await api.put(place(name), { ...requestOf(search), min_relevance: search.all ? undefined : RELEVANT });
      event.target.reset();
      reload();
      if (!old) return toast(`Saved as “${name}”.`);
      toast(`Saved as “${name}” in place of another search.`, { action: { label: "Undo", run: () => void api.put(place(name), again(old)).then(reload, toastError) } });
    }).catch(toastError);
  };
  return html`<${Dialog} title="Saved searches" close=${close}>
    ${error ? html`<${ErrorBox} error=${error} retry=${retry} />` : !value ? html`<${Loading} what="saved searches" />` : html`
      ${value.queries.length ? html`<ul class="saved">${value.queries.map((/** @type {any} */ each) => html`<li key=${each.name}>
        <a href=${addressOf(searchSaved(each))} onClick=${(/** @type {MouseEvent} */ event) => {
          if (event.ctrlKey || event.metaKey) return;
          event.preventDefault();
          open(searchSaved(each));
          close();
        }}>${each.name}</a>
        ${may && html`<button type="button" class="quiet" aria-label=${`Delete ${each.name}`} onClick=${() => remove(each)}><${Icon} name="close" /></button>`}
      </li>`)}</ul>` : html`<p class="muted">None yet. A saved search can be opened here, and named in requests to the API.</p>`}
      ${may && (isSearch(search)
        ? html`<form class="row" onSubmit=${save}><input class="grow" name="name" required maxlength="100" aria-label="Name" placeholder="Save this search as …" /><button class="primary">Save</button></form>`
        : html`<p class="muted">To save a search, search for something first.</p>`)}`}
  </${Dialog}>`;
}
