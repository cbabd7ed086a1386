// Taxonomies: what images are asked, a playground to write one, plans with pictures, history and the way back.
import { Editor } from "./taxonomies/editor.js";
import { History } from "./taxonomies/history.js";
import { List } from "./taxonomies/list.js";
import { html } from "../app/lib.js";

/** The styles of this page are here before it is shown first. */
const styles = document.createElement("link");
const loaded = new Promise((resolve) => ["load", "error"].forEach((end) => styles.addEventListener(end, resolve)));
Object.assign(styles, { rel: "stylesheet", href: new URL("./taxonomies/taxonomies.css", import.meta.url).href });
document.head.append(styles);
await loaded;

/** @param {{query: URLSearchParams}} props */
export default function Page({ query }) {
  const name = query.get("open");
  if (query.get("view") === "history") return html`<div class="taxonomies-page"><${History} /></div>`;
  if (name !== null || query.has("new")) return html`<div class="taxonomies-page"><${Editor} key=${name ?? ""} name=${name} label=${query.get("label")} /></div>`;
  return html`<div class="taxonomies-page"><${List} /></div>`;
}
