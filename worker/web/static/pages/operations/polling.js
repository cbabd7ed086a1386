// Answers of the API that are asked for again and again, and kept while it is away.
import { ApiError } from "../../app/api.js";
import { useCallback, useEffect, useRef, useState } from "../../app/lib.js";
import { useEvery } from "../../app/load.js";

/** Milliseconds after which a request counts as not answered. */
const PATIENCE = 10_000;
/** Seconds; setInterval takes no longer ones than 24 days. */
const NEVER = 1_000_000;

/**
 * @template T
 * @typedef {object} Polled
 * @property {T | null} value the last answer, also while the API is away
 * @property {any} error of the last request; null: it was answered
 * @property {number | null} at when `value` came, in milliseconds since 1970
 * @property {() => void} again ask now
 */

/** Whether an error means that the API cannot be reached, so that asking again may help. @param {any} error */
export function isAway(error) {
  return error instanceof ApiError && (error.status === 0 || error.status === 502 || error.status === 503 || error.status === 504);
}

/**
 * Ask now, whenever `key` changes, and every few seconds while the tab is visible. A request that is under way is not
 * repeated, but for `again` and another `key`.
 * @template T
 * @param {number | null} seconds null: only now and with `again`
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {string} [key]
 * @returns {Polled<T>}
 */
export function usePolled(seconds, load, key = "") {
  const [state, setState] = useState({ value: /** @type {any} */ (null), error: /** @type {any} */ (null), at: /** @type {number | null} */ (null) });
  const running = useRef(/** @type {AbortController | null} */ (null));
  const latest = useRef(load);
  latest.current = load;

  const ask = useCallback((/** @type {boolean} */ anew) => {
    if (running.current && !anew) return;
    running.current?.abort();
    const control = new AbortController();
    running.current = control;
    const timer = setTimeout(() => control.abort("late"), PATIENCE);
    /** @param {(old: any) => any} change */
    const end = (change) => {
      clearTimeout(timer);
      if (running.current !== control) return;
      running.current = null;
      setState(change);
    };
    latest.current(control.signal).then(
      (value) => end(() => ({ value, error: null, at: Date.now() })),
      (error) => end((old) => ({ ...old, error: control.signal.aborted ? new ApiError(0, "The API did not answer within ten seconds.") : error })),
    );
  }, []);

  useEffect(() => {
    ask(true);
    return () => {
      running.current?.abort();
      running.current = null;
    };
  }, [key]);
  useEvery(seconds ?? NEVER, () => seconds !== null && ask(false));
  return { ...state, again: useCallback(() => ask(true), []) };
}

/**
 * Values of the last minutes, in the memory of the page: one for each answer.
 * @param {number | null} value @param {number | null} at when it was measured @param {number} [most]
 * @returns {{at: number, value: number}[]} oldest first
 */
export function useHistory(value, at, most = 240) {
  const kept = useRef(/** @type {{at: number, value: number}[]} */ ([]));
  const last = kept.current.at(-1);
  if (value !== null && at !== null && (!last || last.at < at)) kept.current = [...kept.current.slice(1 - most), { at, value }];
  return kept.current;
}

/** How much a value grows in a second, over what is known of it; null: too little is known. @param {{at: number, value: number}[]} history */
export function growth(history) {
  const first = history[0];
  const last = history.at(-1);
  if (!first || !last || last.at - first.at < 15_000) return null;
  return (last.value - first.value) / ((last.at - first.at) / 1000);
}
