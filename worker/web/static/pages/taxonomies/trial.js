// Tries the draft while it is typed.
import { api } from "../../app/api.js";
import { useLoaded, useSettled } from "../../app/load.js";
import { useMemo, useRef } from "../../app/lib.js";
import { complete } from "./draft.js";
import { sorted, toFile } from "./yaml.js";

/** @typedef {import("./draft.js").Draft} Draft */

/** Milliseconds without a key until the draft is tried. */
const PAUSE = 300;
const NOTHING = { rows: new Map(), fields: new Map(), rest: [] };

/**
 * @param {Draft} draft @param {string} shown the label to show images of @param {number} sample
 * @returns {{result: any, refused: ReturnType<typeof sorted>, busy: boolean, stale: boolean, error: any, milliseconds: number, again: () => void}}
 * `result` is the last answer that was one; it is `stale` while the draft as it is now has none.
 */
export function useTrial(draft, shown, sample) {
  const ready = useMemo(() => complete(draft), [draft]);
  const named = ready.fields.name ? ready : { ...ready, fields: { ...ready.fields, name: "new" } };
  const file = useMemo(() => toFile(named), [ready]);
  const wanted = useMemo(() => ({ ...file, label: shown }), [file, shown]);
  const asked = useSettled(wanted, PAUSE);
  const last = useRef(/** @type {any} */ (null));
  const seconds = useRef(0);
  const key = ready.rows.length ? JSON.stringify([asked.text, asked.label, sample]) : null;
  const { value, error, busy, again } = useLoaded(key, async (signal) => {
    const begun = performance.now();
    const found = await api.post("/v1/taxonomy-trials", { taxonomy: asked.text, sample, strip: 6, labels: asked.label ? [asked.label] : [] }, signal);
    seconds.current = performance.now() - begun;
    return found;
  });
  if (value) last.current = value;
  const refused = error && error.status === 422 ? sorted(error, asked.places) : NOTHING;
  const typing = asked !== wanted;
  return {
    result: key ? last.current : null, refused, error: error && error.status !== 422 ? error : null,
    busy: busy || typing, stale: Boolean(error) || busy || typing, milliseconds: seconds.current, again,
  };
}
