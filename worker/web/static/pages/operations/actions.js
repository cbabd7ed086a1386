// Retrying and giving up: any number of entries, in requests that end within seconds.
import { api } from "../../app/api.js";

/** @typedef {{bucket: string, key: string, reason: string, message: string, etag: string | null, size: number | null,
 *   attempts: number, since: string, pending: boolean, thumbnail: string | null}} Entry */
/** @typedef {{reason?: string, bucket?: string, key?: string, since?: string, given_up?: boolean, all?: boolean}} Choice */
/** @typedef {"retry" | "drop"} Action */

/**
 * Change all entries of a choice.
 * @param {Action} action @param {Choice} choice @param {(changed: number) => void} [progress]
 * @returns {Promise<number>} how many were changed
 */
export async function change(action, choice, progress = () => {}) {
  let changed = 0;
  for (let after = undefined; ; ) {
    const answer = await api.post(`/v1/quarantine/${action}`, after === undefined ? choice : { ...choice, after });
    progress((changed += answer.changed));
    if (answer.next === null) return changed;
    after = answer.next;
  }
}

/**
 * Change single entries, one after another.
 * @param {Action} action @param {Entry[]} entries @param {(changed: number) => void} [progress]
 */
export async function changeEach(action, entries, progress = () => {}) {
  let changed = 0;
  for (const { bucket, key } of entries) progress((changed += await change(action, { bucket, key })));
  return changed;
}

/** What identifies an entry on the page. @param {{bucket: string, key: string}} entry */
export const nameOf = ({ bucket, key }) => `${bucket}/${key}`;

/** Why there is no picture of an object, in a few words. @param {Entry} entry */
export function whyNoPicture({ reason }) {
  return REASONS[reason]?.picture ?? "never decoded";
}

/** What a reason means, in a few words. @param {string} reason */
export const meaning = (reason) => REASONS[reason]?.means ?? reason;

/** @type {Record<string, {means: string, picture: string}>} as in docs/reference/images.md */
const REASONS = {
  empty: { means: "zero bytes", picture: "the file is empty" },
  "not-an-image": { means: "its bytes are something else", picture: "not a picture" },
  "unsupported-format": { means: "a format that is not read here", picture: "format not read" },
  truncated: { means: "the file ends before its picture does", picture: "file is cut off" },
  corrupt: { means: "its decoder refuses it", picture: "decoder refuses it" },
  "too-many-bytes": { means: "longer than ENRICH_MAX_BYTES", picture: "too large to read" },
  "too-many-pixels": { means: "more pixels than ENRICH_MAX_PIXELS", picture: "too large to decode" },
  "side-too-long": { means: "a side longer than ENRICH_MAX_SIDE", picture: "too long to decode" },
  "too-much-work": { means: "decoding takes too long", picture: "too slow to decode" },
  "access-denied": { means: "the store refuses it to the worker", picture: "never read" },
  "not-readable": { means: "the store cannot hand it out", picture: "never read" },
  "not-watched": { means: "its bucket is not watched any more", picture: "never read" },
  archived: { means: "it has to be restored first", picture: "archived" },
  "encoder-refused": { means: "the model fails on it", picture: "not in the catalog" },
  "killed-worker": { means: "it ends the process that decodes it", picture: "unsafe to decode" },
  "attempts-exhausted": { means: "errors at every attempt", picture: "not in the catalog" },
};
