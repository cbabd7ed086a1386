// Colours of points, and of the entries of a legend.

/** @typedef {{value: number, kind: string, name: string, title: string, images: number}} Entry of a legend */

/** Told apart by people who do not see red or green, too, on white and on black (after Okabe and Ito, and Tol). */
const HUES = ["#3b76d6", "#e08214", "#2f9e5b", "#c9443c", "#8a5cd1", "#12a5b5", "#c2559f", "#8c7a1d", "#5b8f1f", "#b07153", "#5f6bd8", "#d4a017"];
/** Early to late: dark blue, teal, green, yellow (viridis, without its darkest part). */
const TIMES = [[72, 60, 140], [49, 104, 142], [33, 145, 140], [53, 183, 121], [144, 215, 67], [245, 220, 40]];
/** Numbers that mean the same on every map. */
const PLAIN = /** @type {Record<string, number[]>} */ ({ without: [140, 146, 158], other: [110, 116, 128], unknown: [165, 170, 180] });

/** @param {string} hex */
const parsed = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** @param {number} share 0 to 1 */
function ofTime(share) {
  const at = share * (TIMES.length - 1);
  const [low, high] = [TIMES[Math.floor(at)], TIMES[Math.min(Math.floor(at) + 1, TIMES.length - 1)]];
  return low.map((value, channel) => Math.round(value + (high[channel] - value) * (at % 1)));
}

/** @param {number} number beyond the first colours, they come again: darker, then lighter */
function ofValue(number) {
  const [red, green, blue] = parsed(HUES[number % HUES.length]);
  const round = Math.floor(number / HUES.length) % 3;
  const towards = [0, 30, 235][round];
  const share = [0, 0.35, 0.4][round];
  return [red, green, blue].map((value) => Math.round(value + (towards - value) * share));
}

/** Red, green and blue of an entry. @param {Entry} entry @param {Entry[]} legend @returns {number[]} */
export function colourOf(entry, legend) {
  if (entry.kind === "time") {
    const times = legend.filter((each) => each.kind === "time").length;
    return ofTime(times > 1 ? entry.value / (times - 1) : 1);
  }
  return PLAIN[entry.kind] ?? ofValue(entry.value);
}

/** As CSS has it. @param {Entry} entry @param {Entry[]} legend */
export const css = (entry, legend) => `rgb(${colourOf(entry, legend).join(" ")})`;

/**
 * Red, green, blue and alpha of all 256 numbers. What is hidden, or no longer in the catalog, is transparent.
 * @param {Entry[]} legend @param {Set<number>} hidden
 */
export function palette(legend, hidden) {
  const made = new Uint8Array(1024);
  for (const entry of legend) {
    if (entry.kind === "gone" || hidden.has(entry.value)) continue;
    const alpha = entry.kind === "value" || entry.kind === "time" ? 205 : 120;
    made.set([...colourOf(entry, legend), alpha], 4 * entry.value);
  }
  return made;
}

/** @param {string} text base64 @returns {Uint8Array} */
export function decoded(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
