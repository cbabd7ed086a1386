// One entry of the quarantine: its picture, and what is known of its file.
import { address, api, objectPath } from "../../app/api.js";
import { ago, bytes, count, moment } from "../../app/format.js";
import { h, html, useEffect, useState } from "../../app/lib.js";
import { useLoaded } from "../../app/load.js";
import { link } from "../../app/router.js";
import { Dialog, ErrorBox, Loading } from "../../app/ui.js";
import { meaning, nameOf, whyNoPicture } from "./actions.js";

/** @typedef {import("./actions.js").Entry} Entry */

/** A preview where the catalog has one, else why there is none. @param {{entry: Entry}} props */
export function Picture({ entry }) {
  const [failed, setFailed] = useState(false);
  useEffect(() => setFailed(false), [entry.thumbnail]);
  const why = failed ? "its preview cannot be made now" : whyNoPicture(entry);
  if (!entry.thumbnail || failed) return html`<span class="thumb none op-thumb">no picture: ${why}</span>`;
  return h("img", {
    class: "thumb op-thumb", src: address(entry.thumbnail), alt: `${entry.key}, as it was when it was enriched`, loading: "lazy",
    decoding: "async", onError: () => setFailed(true),
  });
}

/** @param {{entry: Entry, close: () => void}} props */
export function Details({ entry, close }) {
  const { value, error, again } = useLoaded(nameOf(entry), (signal) => api.get(`/v1/quarantine/${objectPath(entry.bucket, entry.key)}`, undefined, signal));
  const found = value ?? entry;
  const facts = [
    ["Reason", `${found.reason}: ${meaning(found.reason)}`], ["Message", found.message], ["Since", `${moment(found.since)} (${ago(found.since)})`],
    ["Attempts", count(found.attempts)], ["Size", found.size === null ? "not known" : bytes(found.size)], ["ETag", found.etag ?? "none was read"],
  ];
  return html`<${Dialog} title=${nameOf(entry)} close=${close}>
    <dl class="op-facts">${facts.map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd class="op-break">${text}</dd></div>`)}</dl>
    ${found.thumbnail && html`<p><a href=${link("image", { bucket: entry.bucket, key: entry.key })}>What the catalog has of it</a></p>`}
    ${error && html`<${ErrorBox} error=${error} retry=${again} />`}
    ${!value && !error && html`<${Loading} what="the first bytes" />`}
    ${value && (value.hexdump.length
      ? html`<h3>The file’s first bytes</h3><pre class="op-dump" tabindex="0">${value.hexdump.join("\n")}</pre>`
      : html`<p class="muted">No bytes of the file were read.</p>`)}
  </${Dialog}>`;
}
