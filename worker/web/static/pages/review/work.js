// A review in progress: the page in view, what comes after it, and what the person said about each image.
import { address } from "../../app/api.js";
import { outbox } from "./outbox.js";
import { MOST } from "./source.js";

/** @typedef {import("./source.js").Item} Item @typedef {import("./source.js").Source} Source @typedef {import("./outbox.js").Batch} Batch */
/** @typedef {{kind: "accept" | "reject" | "replace" | "none" | "unsure" | "skip", label?: string}} Verdict */
/**
 * @typedef {object} Rules how unmarked and marked images are decided
 * @property {"not" | "only"} mode "not": all get the label but the marked ones; "only": the marked ones get it
 * @property {boolean} rejects whether those that do not get the label are recorded as rejected, or left alone
 */

/** @param {Item} item */
export const idOf = (item) => JSON.stringify([item.bucket, item.key, item.label]);
/** What an image gets that nobody marked. @param {Rules} rules @returns {Verdict} */
export const unmarked = ({ mode, rejects }) => ({ kind: mode === "not" ? "accept" : rejects ? "reject" : "skip" });
/** What a mark means. @param {Rules} rules @returns {Verdict} */
export const marked = ({ mode, rejects }) => ({ kind: mode === "only" ? "accept" : rejects ? "reject" : "skip" });

export class Work {
  /** @param {Source} source @param {{reviewer: string, taxonomy: string, what: string, size: number}} about @param {() => void} changed */
  constructor(source, about, changed) {
    this.source = source;
    this.about = about;
    this.changed = changed;
    /** @type {Item[]} to decide now */
    this.page = [];
    /** @type {Item[]} after this page */
    this.queue = [];
    /** @type {Map<string, Verdict>} of marked images; the others have none */
    this.verdicts = new Map();
    /** @type {Set<string>} images that came */
    this.seen = new Set();
    /** @type {Map<string, Item[]>} batch → its page, for going back */
    this.sent = new Map();
    this.loading = false;
    this.ended = false; // nothing more comes
    this.error = /** @type {any} */ (null);
    this.decided = 0;
    this.left = 0; // images that were passed over
    this.closed = false;
    this.large = false; // whether tiles are wider than thumbnails
  }

  /** Fetch what is missing for the page after this one. */
  async fill() {
    if (this.loading || this.ended || this.closed || this.queue.length >= this.about.size) return;
    this.loading = true;
    this.error = null;
    this.changed();
    try {
      await this.fetch();
    } catch (error) {
      this.error = error;
    }
    this.loading = false;
    if (this.closed) return this.source.release(this.queue);
    if (!this.page.length && this.queue.length) this.turn();
    this.changed();
  }

  async fetch() {
    const open = this.page.length + this.queue.length + outbox.unsent.reduce((sum, each) => sum + each.decisions.length, 0);
    for (let limit = Math.min(MOST, open + 2 * this.about.size); ; limit = Math.min(MOST, 2 * limit)) {
      const found = await this.source.next(limit);
      const fresh = found.filter((each) => !this.seen.has(idOf(each)));
      for (const each of fresh) this.seen.add(idOf(each));
      this.queue.push(...fresh);
      preload(this.queue.slice(0, this.about.size), this.large);
      this.ended = found.length < limit || (!fresh.length && limit === MOST);
      if (fresh.length || this.ended) return;
    }
  }

  /** Show the next page. */
  turn() {
    this.verdicts = new Map(this.verdicts);
    for (const each of this.page) this.verdicts.delete(idOf(each));
    this.page = this.queue.splice(0, this.about.size);
    preload(this.queue.slice(0, this.about.size), this.large);
    this.changed();
    this.fill();
  }

  /** @param {Item} item @param {Rules} rules @returns {Verdict} */
  verdict(item, rules) {
    return this.verdicts.get(idOf(item)) ?? unmarked(rules);
  }

  /** Set or, with null, unset what a person says about images. @param {Item[]} items @param {Verdict | null} verdict */
  mark(items, verdict) {
    const next = new Map(this.verdicts);
    for (const each of items) verdict ? next.set(idOf(each), verdict) : next.delete(idOf(each));
    this.verdicts = next;
    this.changed();
  }

  /** Record the page and show the next one. @param {Rules} rules @returns {Batch | null} null: nothing was to be recorded */
  submit(rules) {
    const page = this.page;
    const decisions = page.flatMap((each) => decision(each, this.verdict(each, rules), this.about.taxonomy));
    const batch = decisions.length ? outbox.add(this.about.reviewer, this.about.what, decisions) : null;
    if (batch) this.sent.set(batch.batch, page);
    this.decided += decisions.length;
    this.left += page.length - decisions.length;
    this.turn();
    return batch;
  }

  /** Take a batch back and show its page again, with what was said about it. @param {Batch} batch */
  back(batch) {
    outbox.undo(batch);
    const page = this.sent.get(batch.batch);
    if (!page) return;
    this.sent.delete(batch.batch);
    this.queue.unshift(...this.page);
    this.page = page;
    this.decided -= batch.decisions.length;
    this.left -= page.length - batch.decisions.length;
    this.verdicts = new Map([...this.verdicts, ...page.map((each) => /** @type {const} */ ([idOf(each), said(each, batch)]))]);
    this.changed();
  }

  /** Ask again after an error, or when nothing was left. */
  again() {
    this.ended = false;
    this.fill();
  }

  /** Show another number of pictures. @param {number} size */
  resize(size) {
    this.about.size = size;
    this.queue.unshift(...this.page);
    this.page = this.queue.splice(0, size);
    this.changed();
    this.fill();
  }

  /** Let others review what is left. */
  close() {
    this.closed = true;
    this.source.release([...this.page, ...this.queue]);
  }
}

/** @param {Item} item @param {Batch} batch @returns {Verdict} */
function said(item, batch) {
  const own = batch.decisions.find((each) => each.bucket === item.bucket && each.key === item.key);
  return own ? { kind: own.verdict, ...(own.verdict === "replace" ? { label: own.label } : {}) } : { kind: "skip" };
}

/** As the API takes it; none for an image that is passed over. @param {Item} item @param {Verdict} verdict @param {string} taxonomy */
export function decision(item, verdict, taxonomy) {
  if (verdict.kind === "skip") return [];
  const { bucket, key, chosen, inclusion_probability, plan, seen } = item;
  const label = verdict.kind === "none" ? null : verdict.kind === "replace" ? verdict.label : item.label;
  return [{ bucket, key, taxonomy, verdict: verdict.kind, label, chosen, inclusion_probability, plan, seen }];
}

/** Ask for pictures before they are shown. @param {Item[]} items @param {boolean} large */
function preload(items, large) {
  for (const each of items) if (each.links) new Image().src = address(large ? each.links.preview : each.links.thumbnail);
}
