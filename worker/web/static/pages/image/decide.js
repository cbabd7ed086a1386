// Decisions about one image: shown at once, sent with what was seen, and undone by their numbers.
import { api, objectPath } from "../../app/api.js";
import { useState } from "../../app/lib.js";
import { toast, toastError } from "../../app/ui.js";
import { forget } from "../search/results.js";

const KEY = "enrich.reviewer"; // shared with the review page

/** Who decides, as it was given in this browser; empty: not yet. */
export function reviewer() {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} name */
export function rememberReviewer(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // It is asked again next time.
  }
}

/**
 * @typedef {object} Decision
 * @property {string} taxonomy
 * @property {"accept" | "reject" | "replace" | "none" | "unsure"} verdict
 * @property {string | null} label that holds, or does not
 * @property {any} [tag] the tag or suggestion that it is about
 */
/** @typedef {{decision: Decision, why: string, seen: string[], now: string[]}} Conflict */

/** Labels of a taxonomy that hold. @param {any} image @param {string} taxonomy @returns {string[]} */
export const inForce = (image, taxonomy) =>
  image.tags.filter((/** @type {any} */ tag) => tag.taxonomy === taxonomy && tag.in_force && tag.label !== null).map((/** @type {any} */ tag) => tag.label);

/** What the image has once a decision is saved, as far as that can be known before. @param {any} image @param {Decision} decision @param {string} who */
function expected(image, { taxonomy, verdict, label, tag }, who) {
  if (verdict === "unsure") return image;
  const mine = (/** @type {any} */ each) => each.taxonomy === taxonomy;
  const human = { taxonomy, label, probability: null, score: null, source: "human", model: null, active: true, in_force: true, proven: null, decision: null, reviewer: who, decided_at: new Date().toISOString() };
  const drop = (/** @type {any} */ each) => mine(each) && (verdict === "none" || each.label === (verdict === "replace" ? tag?.label : label));
  const tags = image.tags.filter((/** @type {any} */ each) => !drop(each) && !(mine(each) && each.label === label));
  const rejected = verdict === "reject" ? [{ taxonomy, label, rejected: true, reviewer: who, decision: 0, decided_at: human.decided_at }] : [];
  return {
    ...image,
    tags: verdict === "accept" || verdict === "replace" ? [...tags, human] : tags,
    suggestions: image.suggestions.filter((/** @type {any} */ each) => !(mine(each) && each.label === label)),
    rejected_tags: [...image.rejected_tags.filter((/** @type {any} */ each) => !(mine(each) && each.label === label)), ...rejected],
  };
}

/** What was shown, so that the API notices what changed since. @param {any} image @param {any[]} decisions newest first @param {boolean} all whether these are all there are @param {Decision} decision */
function seen(image, decisions, all, { taxonomy, tag }) {
  const newest = decisions.find((each) => each.taxonomy === taxonomy && each.sha256 === image.sha256 && each.verdict !== "undo" && each.undone_by === null);
  return {
    sha256: image.sha256, labels: inForce(image, taxonomy),
    ...(newest || all ? { decision: newest?.id ?? 0 } : {}),
    ...(tag?.label ? { label: tag.label } : {}), ...(tag?.taxonomy_version ? { version: tag.taxonomy_version } : {}), ...(tag?.space ? { space: tag.space } : {}),
  };
}

const SAID = { accept: "holds", reject: "does not hold", replace: "holds instead", none: "None of the labels holds", unsure: "Cannot tell" };

/**
 * @param {any} image @param {any[]} decisions @param {boolean} all whether these are all decisions @param {(image: any) => void} show what is expected @param {() => Promise<any>} reload the image as it is now
 * @param {(id: number) => void} undo
 */
export function useDecisions(image, decisions, all, show, reload, undo) {
  const [conflict, setConflict] = useState(/** @type {Conflict | null} */ (null));
  const decide = async (/** @type {Decision} */ decision) => {
    const { taxonomy, verdict, label } = decision;
    const before = image;
    setConflict(null);
    show(expected(image, decision, reviewer()));
    const body = { taxonomy, verdict, label: label ?? undefined, reviewer: reviewer(), seen: seen(image, decisions, all, decision) };
    try {
      const done = await api.put(`/v1/decisions/${objectPath(image.bucket, image.key)}`, body);
      forget();
      await reload();
      const what = label ? `${taxonomy} ${label} ${SAID[verdict]}` : `${taxonomy}: ${SAID[verdict].toLowerCase()}`;
      if (done.outcome === "unchanged") toast(`${what}: it was decided before.`);
      else toast(`${what}.`, { action: { label: "Undo", run: () => undo(done.decision) } });
    } catch (error) {
      show(before);
      if (/** @type {any} */ (error).status !== 409) return toastError(error);
      const now = await reload();
      setConflict({ decision, why: /** @type {any} */ (error).detail, seen: inForce(before, taxonomy), now: now ? inForce(now, taxonomy) : [] });
    }
  };
  return { decide, conflict, settle: () => setConflict(null) };
}
