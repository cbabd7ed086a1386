// Which picture the keys are about, and what they do.
import { useEffect, useRef, useState } from "../../app/lib.js";
import { useKeys } from "../../app/keys.js";
import { outbox } from "./outbox.js";
import { idOf, marked } from "./work.js";

/** @typedef {import("./work.js").Work} Work @typedef {import("./work.js").Rules} Rules @typedef {import("./work.js").Verdict} Verdict */

/** @param {number} from @param {number} to */
const range = (from, to) => new Set(Array.from({ length: Math.abs(to - from) + 1 }, (_, step) => Math.min(from, to) + step));

/** Columns of the grid that is shown. */
const columns = () => Number(document.querySelector(".tiles")?.getAttribute("data-columns") ?? 1);

/** The batch that `z` takes back: the last one of this review. @param {Work} work */
export const lastBatch = (work) => outbox.batches.findLast((each) => work.sent.has(each.batch) && !each.undo && each.state !== "undone");

/**
 * @param {{work: Work, rules: Rules, labels: [string, string][], readOnly: boolean, large: boolean, setLarge: (shown: boolean) => void}} props
 */
export function useCursor({ work, rules, labels, readOnly, large, setLarge }) {
  const [at, setAt] = useState(0);
  const [anchor, setAnchor] = useState(0);
  const [selected, setSelected] = useState(/** @type {Set<number>} */ (new Set()));
  const before = useRef(/** @type {{verdicts: Map<string, Verdict>, clears: boolean}} */ ({ verdicts: new Map(), clears: false }));
  const page = work.page;
  useEffect(() => (setAt(0), setAnchor(0), setSelected(new Set())), [page]);

  /** What the keys are about: the selected pictures, or the one with the focus. */
  const meant = () => [...(selected.size ? selected : [at])].map((index) => page[index]).filter(Boolean);
  /** Whether a picture is marked. @param {import("./work.js").Item} item */
  const isMarked = (item) => work.verdicts.has(idOf(item));
  const go = (/** @type {number} */ index) => (setAt(index), setAnchor(index), setSelected(new Set()));

  /** @param {number} by @param {boolean} extends_ */
  const move = (by, extends_) => {
    const to = Math.max(0, Math.min(page.length - 1, at + by));
    if (!extends_) return go(to);
    setAt(to);
    setSelected(range(anchor, to));
  };
  const toggle = () => {
    const items = meant();
    work.mark(items, items.every(isMarked) ? null : marked(rules));
  };
  const decide = (/** @type {Verdict} */ verdict) => work.mark(meant(), verdict);

  /** A click, or a tap. @param {number} index @param {{shiftKey: boolean}} event */
  const press = (index, { shiftKey }) => {
    if (readOnly) return go(index);
    setAt(index);
    setSelected(shiftKey ? range(anchor, index) : new Set());
    if (!shiftKey) setAnchor(index);
    const items = shiftKey ? [...range(anchor, index)].map((each) => page[each]) : [page[index]];
    work.mark(items, !shiftKey && isMarked(items[0]) ? null : marked(rules));
  };

  /** A rectangle over pictures: they are marked, or no longer if it begins on a marked one. @param {number[]} indexes @param {boolean} begins */
  const sweep = (indexes, begins) => {
    if (begins) before.current = { verdicts: work.verdicts, clears: isMarked(page[indexes[0]]) };
    work.verdicts = before.current.verdicts;
    work.mark(indexes.map((each) => page[each]), before.current.clears ? null : marked(rules));
    setSelected(new Set(indexes));
    setAt(indexes[indexes.length - 1]);
    setAnchor(indexes[0]);
  };

  const submit = () => {
    if (readOnly || !page.length) return;
    setLarge(false);
    work.submit(rules);
  };
  const undo = () => {
    const last = lastBatch(work);
    if (last && !readOnly) work.back(last);
  };

  const arrows = /** @type {const} */ ([["ArrowLeft", () => -1], ["ArrowRight", () => 1], ["ArrowUp", () => -columns()], ["ArrowDown", columns]]);
  const deciding = [
    { key: " ", does: "mark or unmark", run: toggle, hidden: true },
    { key: "␣ Space", does: "mark or unmark", run: toggle },
    { key: "a", does: "the label holds", run: () => decide({ kind: "accept" }) },
    { key: "r", does: "it does not", run: () => decide({ kind: "reject" }) },
    { key: "u", does: "unsure", run: () => decide({ kind: "unsure" }) },
    { key: "n", does: "none of the labels", run: () => decide({ kind: "none" }) },
    ...others(labels, page[at]?.label).map(([name, title], index) => ({
      key: String(index + 1), does: `it is ${title}`, run: () => decide({ kind: /** @type {const} */ ("replace"), label: name }),
    })),
    { key: "Enter", does: "record the page, show the next", run: submit },
    { key: "z", does: "take the last page back", run: undo },
    { key: "Ctrl+a", does: "select all", run: () => setSelected(range(0, page.length - 1)) },
  ];
  useKeys([
    ...arrows.map(([key, by]) => ({ key, does: "move", run: () => move(by(), false), hidden: true })),
    ...arrows.map(([key, by]) => ({ key: `Shift+${key}`, does: "select", run: () => move(by(), true), hidden: key !== "ArrowRight" })),
    { key: "i", does: "show the picture large", run: () => setLarge(!large) },
    { key: "Escape", does: "select nothing", run: () => setSelected(new Set()), hidden: true },
    ...(readOnly ? [] : deciding),
  ].map((each) => ({ ...each, run: () => (large || !document.querySelector("dialog[open]")) && each.run() })));
  return { at, selected, press, sweep, submit, undo, go, decide, meant };
}

/** The labels that digits give: all but the one that is asked about. @param {[string, string][]} labels @param {string} asked @returns {[string, string][]} */
export const others = (labels, asked) => labels.filter(([name]) => name !== asked).slice(0, 9);
