// One picture, large, with what is known about it.
import { percent } from "../../app/format.js";
import { html } from "../../app/lib.js";
import { link } from "../../app/router.js";
import { Dialog } from "../../app/ui.js";
import { Picture } from "./tiles.js";

/** @param {{item: import("./work.js").Item, what: string, taxonomy: string, hidden: boolean, close: () => void}} props */
export function Large({ item, what, taxonomy, hidden, close }) {
  const inForce = (item.tags?.[taxonomy] ?? item.seen?.labels ?? []).join(", ");
  return html`<${Dialog} title=${what} close=${close}><div class="review-large">
    <${Picture} key=${item.key} item=${item} large=${true} />
    <p><a href=${link("image", { bucket: item.bucket, key: item.key })} target="_blank">${item.key}</a></p>
    ${!hidden && html`<p class="muted small">in force: ${inForce || "none of these"}${item.probability === null ? "" : ` · probability ${percent(item.probability)}`} · ${item.why}</p>`}
  </div></${Dialog}>`;
}
