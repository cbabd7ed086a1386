// A draft as the YAML of a file, and which line belongs to which field: the API names lines.
import { lines } from "./draft.js";

/** @typedef {import("./draft.js").Draft} Draft */
/** @typedef {import("./draft.js").Row} Row */
/** @typedef {{row?: number, field: string}} Place a field of a row, or of the taxonomy itself */

const PLAIN = /^[A-Za-z][A-Za-z0-9 _()/.-]*$/;
const WORDS = /^(y|n|yes|no|true|false|on|off|null)$/i;

/** A text that every YAML parser reads as this text. @param {string} text */
export function scalar(text) {
  if (PLAIN.test(text) && !WORDS.test(text) && !text.endsWith(" ") && text.length < 100) return text;
  // JSON's escapes are YAML's; what YAML calls unprintable is escaped as well.
  return JSON.stringify(text).replace(/[\u007f-\u009f\u00ad\u2028\u2029\ufeff\ufffe\uffff]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @param {any} value */
function plain(value) {
  if (typeof value === "string") return scalar(value);
  if (typeof value === "number" && /e/.test(String(value))) return value.toFixed(12);
  return String(value);
}

class Writer {
  /** @type {string[]} */
  text = [];
  /** @type {Map<number, Place>} counted from 1 */
  places = new Map();

  /** @param {number} indent @param {string} line @param {Place} place */
  line(indent, line, place) {
    this.text.push(" ".repeat(indent) + line);
    this.places.set(this.text.length, place);
  }

  /** @param {number} indent @param {string} key @param {any} value @param {Place} place */
  entry(indent, key, value, place) {
    const name = `${scalar(key)}:`;
    if (Array.isArray(value)) {
      this.line(indent, name, place);
      for (const each of value) this.item(indent + 2, each, place);
    } else if (value !== null && typeof value === "object") {
      this.line(indent, name, place);
      for (const [inner, own] of Object.entries(value)) this.entry(indent + 2, inner, own, place);
    } else this.line(indent, `${name} ${plain(value)}`, place);
  }

  /** @param {number} indent @param {any} value @param {Place} place */
  item(indent, value, place) {
    if (value === null || typeof value !== "object") return this.line(indent, `- ${plain(value)}`, place);
    this.line(indent, "-", place);
    for (const [inner, own] of Object.entries(value)) this.entry(indent + 2, inner, own, place);
  }

  /** @param {number} indent @param {Row[]} rows */
  labels(indent, rows) {
    const written = rows.filter((each) => !isBlank(each));
    for (const row of written.length ? written : rows) {
      const prompts = lines(row.prompts);
      const at = (/** @type {string} */ field) => ({ row: row.id, field });
      const only = !Object.keys(row.fields).length && !row.children.length;
      if (only) {
        this.entry(indent, row.name.trim(), prompts, at("prompts"));
        this.places.set(this.text.length - prompts.length, at(prompts.length ? "name" : "prompts"));
        continue;
      }
      this.line(indent, `${scalar(row.name.trim())}:`, at("name"));
      const { title, description, ...rest } = row.fields;
      for (const [key, value] of Object.entries({ title, description })) if (value !== undefined) this.entry(indent + 2, key, value, at(key));
      if (prompts.length) this.entry(indent + 2, "prompts", prompts, at("prompts"));
      for (const [key, value] of Object.entries(rest)) this.entry(indent + 2, key, value, at(key));
      if (row.children.length) {
        this.line(indent + 2, "children:", at("children"));
        this.labels(indent + 4, row.children);
      }
    }
  }
}

/** A row in which nothing was written yet. @param {import("./draft.js").Row} row */
const isBlank = (row) => !row.name.trim() && !row.prompts.trim() && !Object.keys(row.fields).length && !row.children.length;

/** @param {Draft} draft @returns {{text: string, places: Map<number, Place>}} */
export function toFile(draft) {
  const writer = new Writer();
  const { models, translations, ...first } = draft.fields;
  for (const [key, value] of Object.entries(first)) writer.entry(0, key, value, { field: key });
  writer.line(0, "labels:", { field: "labels" });
  writer.labels(2, draft.rows);
  for (const [key, value] of Object.entries({ models, translations })) if (value !== undefined) writer.entry(0, key, value, { field: key });
  return { text: `${writer.text.join("\n")}\n`, places: writer.places };
}

/**
 * What the API says is wrong, sorted to the fields where it is.
 * @param {any} error @param {Map<number, Place>} places
 * @returns {{rows: Map<number, string[]>, fields: Map<string, string[]>, rest: string[]}}
 */
export function sorted(error, places) {
  const found = { rows: /** @type {Map<number, string[]>} */ (new Map()), fields: /** @type {Map<string, string[]>} */ (new Map()), rest: /** @type {string[]} */ ([]) };
  for (const line of String(error?.detail ?? error?.message ?? error).split("\n")) {
    const [, number, text] = /^(?:taxonomy|add\[0\]):(\d+): (.*)$/.exec(line) ?? [];
    const place = number ? places.get(Number(number)) : undefined;
    if (!place) found.rest.push(line);
    else if (place.row !== undefined) push(found.rows, place.row, withoutPath(text));
    else push(found.fields, place.field, withoutPath(text));
  }
  return found;
}

/** `labels.day[0]: what is wrong` → `what is wrong`: it stands at the field. @param {string} text */
const withoutPath = (text) => text.replace(/^[a-z_]+[^:\s]*(?: [^:]*)?: /, "");

/** @template K @param {Map<K, string[]>} map @param {K} key @param {string} text */
function push(map, key, text) {
  map.set(key, [...(map.get(key) ?? []), text]);
}
