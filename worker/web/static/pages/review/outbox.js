// Decisions on their way to the API. They are kept in the browser until they are stored; each batch has a number, so
// that sending it again records nothing twice.
import { api } from "../../app/api.js";
import { plural } from "../../app/format.js";
import { useEffect, useReducer } from "../../app/lib.js";
import { toastError } from "../../app/ui.js";

const PREFIX = "enrich.unsent.";
const LATEST = 20; // batches that are remembered
const PERMANENT = new Set([400, 403, 413, 415, 422]);

/**
 * @typedef {object} Batch
 * @property {string} batch its number
 * @property {string} reviewer
 * @property {string} what such as "colour = red"
 * @property {any[]} decisions as the API takes them
 * @property {"waiting" | "sending" | "stored" | "refused" | "undone"} state
 * @property {boolean} undo whether it is to be taken back
 * @property {number} tries that failed
 * @property {any} error of the last try
 * @property {any[]} results of the API, in the order of the decisions
 * @property {number} at when it was made, milliseconds
 */

export class Outbox {
  constructor() {
    /** @type {Batch[]} the newest last */
    this.batches = [];
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {Set<(batch: Batch) => void>} */
    this.stored = new Set();
    this.busy = false;
    this.watched = 0; // reviews in view, which show conflicts
    /** @type {any} */
    this.timer = null;
    addEventListener("online", () => this.retry());
    addEventListener("beforeunload", (event) => this.unsent.length && event.preventDefault());
  }

  /** Batches that the API does not have as they should be. */
  get unsent() {
    return this.batches.filter((each) => each.state === "waiting" || each.state === "sending" || each.state === "refused");
  }

  /** Keep decisions and send them. @param {string} reviewer @param {string} what @param {any[]} decisions @returns {Batch} */
  add(reviewer, what, decisions) {
    /** @type {Batch} */
    const batch = { batch: number(), reviewer, what, decisions, state: "waiting", undo: false, tries: 0, error: null, results: [], at: Date.now() };
    this.batches = [...this.batches.filter((each) => each.state !== "undone").slice(-LATEST), batch];
    this.keep(batch);
    this.pump();
    return batch;
  }

  /** Take a batch back, whether or not it has been sent. @param {Batch} batch */
  undo(batch) {
    batch.undo = true;
    if (batch.state === "sending") return;
    batch.state = batch.state === "stored" || batch.tries ? "waiting" : "undone";
    this.keep(batch);
    this.pump();
  }

  /** Give up a batch that the API refuses. @param {Batch} batch */
  discard(batch) {
    batch.state = "undone";
    this.keep(batch);
    this.pump();
  }

  /** Try everything again now. */
  retry() {
    for (const each of this.batches) if (each.state === "refused") each.state = "waiting";
    this.pump();
  }

  /** Take up what an earlier page, or a page that was closed, could not send. */
  restore() {
    for (const key of Object.keys(localStorage).filter((each) => each.startsWith(PREFIX))) {
      const kept = read(key);
      if (kept && !this.batches.some((each) => each.batch === kept.batch)) {
        this.batches = [{ ...kept, state: "waiting", error: null, results: [] }, ...this.batches];
      }
    }
    this.pump();
  }

  changed() {
    for (const each of this.listeners) each();
  }

  /** @param {Batch} batch */
  keep(batch) {
    const { batch: name, reviewer, what, decisions, undo, tries, at } = batch;
    try {
      if (this.unsent.includes(batch)) localStorage.setItem(PREFIX + name, JSON.stringify({ batch: name, reviewer, what, decisions, undo, tries, at }));
      else localStorage.removeItem(PREFIX + name);
    } catch {
      // A full or forbidden store: the page itself still has them.
    }
  }

  /** Send what waits, one after the other, in the order in which it was decided. */
  async pump() {
    clearTimeout(this.timer);
    this.changed();
    if (this.busy) return;
    this.busy = true;
    for (let next; (next = this.batches.find((each) => each.state === "waiting")); ) {
      await this.send(next);
      this.changed();
      if (next.error && next.state === "waiting") {
        this.timer = setTimeout(() => this.pump(), 1000 * Math.min(30, 2 ** next.tries));
        break;
      }
    }
    this.busy = false;
  }

  /** @param {Batch} batch */
  async send(batch) {
    const undo = batch.undo;
    batch.state = "sending";
    this.changed();
    try {
      await (undo ? this.takeBack(batch) : this.store(batch));
      batch.error = null;
    } catch (error) {
      batch.error = error;
      batch.tries++;
      batch.state = PERMANENT.has(/** @type {any} */ (error).status) && !batch.undo ? "refused" : "waiting";
    }
    if (batch.undo && !undo) batch.state = "waiting"; // taken back while it was on its way
    this.keep(batch);
  }

  /** @param {Batch} batch */
  async store(batch) {
    const { reviewer, decisions } = batch;
    batch.results = (await api.post("/v1/decisions", { reviewer, decisions, batch: batch.batch })).results;
    batch.state = "stored";
    const lost = batch.results.filter((each) => each.outcome === "conflict" || each.outcome === "refused");
    if (lost.length && !this.watched) toastError(new Error(`Not stored: ${plural(lost.length, "decision")} about ${batch.what}: ${lost[0].message}`));
    for (const each of this.stored) each(batch);
  }

  /** @param {Batch} batch */
  async takeBack(batch) {
    await api.remove("/v1/decisions", { batch: batch.batch, reviewer: batch.reviewer }).catch((error) => {
      if (error.status !== 404) throw error; // 404: it never arrived
    });
    batch.state = "undone";
    for (const each of this.stored) each(batch);
  }
}

/** A number of a batch: a UUID, also where the page has no secure origin. */
function number() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

/** @param {string} key @returns {any} */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** One for all pages of this tab: it goes on sending when another page is opened. */
export const outbox = new Outbox();

/** The component is drawn again whenever anything changes. */
export function useOutbox() {
  const [, again] = useReducer((/** @type {number} */ n) => n + 1, 0);
  useEffect(() => {
    const listen = () => again(0);
    outbox.listeners.add(listen);
    return () => void outbox.listeners.delete(listen);
  }, []);
  return outbox;
}
