// A search as the address of the page, and as the API takes it.
import { link } from "../../app/router.js";
import { preview } from "./upload.js";

/**
 * @typedef {object} Example
 * @property {"text" | "image" | "label" | "vector"} kind
 * @property {string} value a text, BUCKET/KEY, TAXONOMY=LABEL, or SPACE:BASE64
 */
/**
 * @typedef {object} Search
 * @property {string} text words
 * @property {Example[]} like
 * @property {Example[]} unlike
 * @property {Record<string, any> | null} filter
 * @property {string} [unreadable] a filter of the address that is not JSON
 * @property {boolean} all whether what is less relevant is shown, too
 */

/** @param {string} text @returns {Example} */
function example(text) {
  const at = text.indexOf(":");
  const kind = /** @type {Example["kind"]} */ (text.slice(0, at));
  return ["text", "image", "label", "vector"].includes(kind) ? { kind, value: text.slice(at + 1) } : { kind: "text", value: text };
}

/** @param {string | null} text */
function parsed(text) {
  if (!text) return { filter: null };
  try {
    const found = JSON.parse(text);
    if (found && typeof found === "object") return { filter: Object.keys(found).length ? found : null };
  } catch {
    // It is shown as it is.
  }
  return { filter: null, unreadable: text };
}

/** The search that an address names. @param {URLSearchParams} query @returns {Search} */
export function searchOf(query) {
  return {
    text: query.get("q") ?? "",
    like: query.getAll("like").map(example),
    unlike: query.getAll("unlike").map(example),
    ...parsed(query.get("filter")),
    all: query.get("all") === "1",
  };
}

/** Its address. @param {Search} search */
export function addressOf({ text, like, unlike, filter, all }) {
  const names = (/** @type {Example[]} */ examples) => examples.map((each) => `${each.kind}:${each.value}`);
  return link("search", {
    q: text.trim(), like: names(like), unlike: names(unlike), filter: filter && JSON.stringify(filter), all: all ? 1 : null,
  });
}

/** Whether it asks for anything but a filter. @param {Search} search */
export const isSearch = ({ text, like, unlike }) => Boolean(text.trim() || like.length || unlike.length);

/** An example as the API takes it. @param {Example} example */
function asked({ kind, value }) {
  if (kind === "label") return { label: { taxonomy: value.slice(0, value.indexOf("=")), label: value.slice(value.indexOf("=") + 1) } };
  if (kind !== "vector") return { [kind]: value };
  return { vector: value.slice(value.indexOf(":") + 1), space: Number(value.slice(0, value.indexOf(":"))) };
}

/** The request to POST /v1/search, without `limit` and `after`. @param {Search} search */
export function requestOf({ text, like, unlike, filter }) {
  /** @type {Record<string, any>} */
  const request = { like: [...(text.trim() ? [{ text: text.trim() }] : []), ...like.map(asked)], unlike: unlike.map(asked) };
  if (filter) request.filter = filter;
  return request;
}

/** The search that was saved; the files in it are vectors by now. @param {{query: Record<string, any>, space: number | null}} saved @returns {Search} */
export function searchSaved({ query, space }) {
  const back = (/** @type {any} */ each) => /** @type {Example} */ (
    each.label ? { kind: "label", value: `${each.label.taxonomy}=${each.label.label}` }
    : each.vector ? { kind: "vector", value: `${each.space ?? space}:${each.vector}` }
    : each.image ? { kind: "image", value: each.image } : { kind: "text", value: each.text });
  const like = [...(query.text ? [{ text: query.text }] : []), ...(query.label ? [{ label: query.label }] : []), ...(query.like ?? [])].map(back);
  const words = like.findIndex((each) => each.kind === "text");
  const [text] = words < 0 ? [null] : like.splice(words, 1);
  const tags = query.tags?.length ? { tags: [...(query.filter?.tags ?? []), ...query.tags] } : {};
  const filter = { ...query.filter, ...tags };
  return { text: text?.value ?? "", like, unlike: (query.unlike ?? []).map(back), filter: Object.keys(filter).length ? filter : null, all: false };
}

/** What to call an example. @param {Example} example */
export function exampleName({ kind, value }) {
  if (kind === "image") return value.slice(value.lastIndexOf("/") + 1);
  if (kind === "label") return value.replace("=", ": ");
  return kind === "vector" ? (preview(value)?.name ?? "an uploaded picture") : `“${value}”`;
}
