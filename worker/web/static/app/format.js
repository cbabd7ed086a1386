// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** 12345 → "12,345" @param {number} value */
export const count = (value) => whole.format(value);
/** 12345 → "12.3K" @param {number} value */
export const compact = (value) => short.format(value);
/** "1 image", "2 images" @param {number} value @param {string} one @param {string} [many] */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
/** .873 → "87 %", and never 0 % or 100 % for what is neither. @param {number} value */
export function percent(value) {
  if (value > 0 && value < 0.01) return "< 1 %";
  if (value < 1 && value > 0.99) return "> 99 %";
  return `${Math.round(value * 100)} %`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];
/** 1536000 → "1.5 MB" @param {number} value */
export function bytes(value) {
  let at = 0;
  while (value >= 1000 && at < UNITS.length - 1) [value, at] = [value / 1000, at + 1];
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${UNITS[at]}`;
}

/** 90 → "1 min 30 s" @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [Math.round(seconds) % 60, "s"]];
  return parts.filter(([value]) => value).slice(0, 2).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** A moment in the reader's own time zone. @param {string | null | undefined} text ISO 8601 */
export function moment(text) {
  if (!text) return "";
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** How long ago. @param {string} text ISO 8601 */
export function ago(text) {
  const seconds = (Date.now() - new Date(text).getTime()) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}
