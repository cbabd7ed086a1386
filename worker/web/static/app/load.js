// Requests as state of a component.
import { useCallback, useEffect, useRef, useState } from "./lib.js";

/**
 * Load something, and again whenever `key` changes; an older request is aborted, and what was loaded stays meanwhile.
 * @template T
 * @param {string | null} key null: load nothing
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @returns {{value: T | null, error: any, busy: boolean, again: () => void}}
 */
export function useLoaded(key, load) {
  const [state, setState] = useState({ value: /** @type {any} */ (null), error: /** @type {any} */ (null), busy: key !== null });
  const [times, setTimes] = useState(0);
  useEffect(() => {
    if (key === null) return setState({ value: null, error: null, busy: false });
    const control = new AbortController();
    setState((old) => ({ ...old, busy: true }));
    load(control.signal).then(
      (value) => control.signal.aborted || setState({ value, error: null, busy: false }),
      (error) => control.signal.aborted || setState({ value: null, error, busy: false }),
    );
    return () => control.abort();
  }, [key, times]);
  return { ...state, again: useCallback(() => setTimes((n) => n + 1), []) };
}

/** Call `what` every few seconds while the tab is visible, and at once when it becomes visible. @param {number} seconds @param {() => void} what */
export function useEvery(seconds, what) {
  const latest = useRef(what);
  latest.current = what;
  useEffect(() => {
    const look = () => document.visibilityState === "visible" && latest.current();
    const timer = setInterval(look, seconds * 1000);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [seconds]);
}

/** `value`, once it has not changed for a while. @template T @param {T} value @param {number} milliseconds @returns {T} */
export function useSettled(value, milliseconds) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}
