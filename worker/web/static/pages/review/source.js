// Where the images of a review come from: a plan, a queue, or a selection that another page handed over.
import { api, objectPath } from "../../app/api.js";

/**
 * @typedef {object} Choice what the address says
 * @property {string} taxonomy
 * @property {string} label empty: of the whole taxonomy
 * @property {string} queue "random", "uncertain", … or "selection"
 * @property {string} query
 * @property {string} space the other one, for "disagreement"
 * @property {number} plan 0: none
 * @property {boolean} unsure
 */
/** @typedef {any} Item as the API has it: `bucket`, `key`, `label`, `seen`, … */
/**
 * @typedef {object} Source
 * @property {(count: number) => Promise<Item[]>} next up to so many to decide about; some may have come before
 * @property {(items: Item[]) => void} release they are not going to be decided now
 */

export const MOST = 300;
const SELECTED = "enrich.selection";
const AT_ONCE = 8; // requests

/** @param {Choice} choice @param {string} reviewer @param {boolean} mayReview @returns {Source} */
export function sourceOf(choice, reviewer, mayReview) {
  if (choice.plan) return mayReview ? planned(choice.plan, reviewer) : plannedToLookAt(choice.plan);
  return choice.queue === "selection" ? selected(choice) : queued(choice);
}

/** @param {number} plan @param {string} reviewer @returns {Source} */
function planned(plan, reviewer) {
  return {
    next: async (limit) => (await api.post(`/v1/review-plans/${plan}/next`, { reviewer, limit })).items,
    release: (items) => {
      const places = items.map((each) => each.place).filter((each) => each !== null);
      if (places.length) api.last(`/v1/review-plans/${plan}/release`, { reviewer, places });
    },
  };
}

/** Without the right to decide, nothing is reserved. @param {number} plan @returns {Source} */
function plannedToLookAt(plan) {
  return {
    next: async (limit) => {
      const { items } = await api.get(`/v1/review-plans/${plan}/items`);
      return items.filter((/** @type {Item} */ each) => each.state === "open").slice(0, limit);
    },
    release: () => {},
  };
}

/** @param {Choice} choice @returns {Source} */
function queued({ queue, taxonomy, label, query, space, unsure }) {
  const path = `/v1/review-queues/${encodeURIComponent(queue)}/${encodeURIComponent(taxonomy)}`;
  const fixed = { label: label || null, query: query || null, other_space: space || null, unsure: unsure || null };
  return { next: async (limit) => (await api.get(path, { ...fixed, limit })).items, release: () => {} };
}

/** Images that the search page or the map handed over. @returns {{bucket: string, key: string}[]} */
export function selection() {
  try {
    const found = JSON.parse(sessionStorage.getItem(SELECTED) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => each?.bucket && each?.key) : [];
  } catch {
    return [];
  }
}

/** @param {Choice} choice @returns {Source} */
function selected(choice) {
  const refs = selection();
  let given = 0;
  return {
    next: async (limit) => {
      /** @type {Item[]} */
      const read = [];
      while (read.length < limit && given < refs.length) {
        const part = refs.slice(given, given + AT_ONCE);
        const found = await Promise.all(part.map((each) => image(each, choice)));
        read.push(...found.filter(Boolean));
        given += part.length;
      }
      return read;
    },
    release: () => {},
  };
}

/** An image as an item of a queue; null: it left the catalog. @param {{bucket: string, key: string}} ref @param {Choice} choice @returns {Promise<Item | null>} */
async function image({ bucket, key }, { taxonomy, label }) {
  const found = await api.get(`/v1/images/${objectPath(bucket, key)}`).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  if (!found) return null;
  const own = found.tags.filter((/** @type {any} */ each) => each.taxonomy === taxonomy && each.in_force && each.label);
  const tag = own.find((/** @type {any} */ each) => each.label === label);
  return {
    bucket, key, links: found.links, label,
    probability: tag?.probability ?? null, given: Boolean(tag), why: "selected by you",
    tags: { [taxonomy]: own.map((/** @type {any} */ each) => each.label) },
    seen: { sha256: found.sha256, labels: own.map((/** @type {any} */ each) => each.label), label },
    chosen: "direct", inclusion_probability: null, plan: null, place: null,
  };
}
