// A histogram of probabilities as inline SVG, with the threshold as a line.
import { html } from "../../app/lib.js";
import { count } from "../../app/format.js";

const WIDTH = 400;

/** Bins are drawn by the logarithm: a few images beside thousands are still seen. @param {number[]} bins */
export function heights(bins) {
  const most = Math.log1p(Math.max(0, ...bins)) || 1;
  return bins.map((images) => Math.log1p(images) / most);
}

/**
 * @param {{label: string, bins: number[], threshold: number, above: number, large?: boolean}} props
 * `above`: images at or above the threshold, as counted
 */
export function Histogram({ label, bins, threshold, above, large = false }) {
  const height = large ? 120 : 40;
  const width = WIDTH / bins.length;
  const images = bins.reduce((sum, each) => sum + each, 0);
  const line = threshold * WIDTH;
  const said = `${label}: ${count(above)} of ${count(images)} images at or above ${threshold}`;
  return html`<svg class=${large ? "histogram large" : "histogram"} role="img" aria-label=${said}
      viewBox=${`0 0 ${WIDTH} ${height + (large ? 18 : 0)}`} preserveAspectRatio=${large ? "xMidYMid" : "none"}>
    ${heights(bins).map((share, at) => {
      const tall = share * (height - 2);
      const over = (at + 0.5) * width >= line;
      return tall > 0 && html`<rect key=${at} class=${over ? "over" : "under"} x=${at * width + 0.5} width=${width - 1} y=${height - tall} height=${tall}>
        <title>${`${(at / bins.length).toFixed(3)} to ${((at + 1) / bins.length).toFixed(3)}: ${count(bins[at])} images`}</title></rect>`;
    })}
    <line class="ground" x1="0" x2=${WIDTH} y1=${height - 0.5} y2=${height - 0.5} />
    <line class="threshold" x1=${line} x2=${line} y1="0" y2=${height} />
    ${large && [0, 0.25, 0.5, 0.75, 1].map((tick) => html`<text key=${tick} x=${tick * WIDTH} y=${height + 14} text-anchor=${tick === 0 ? "start" : tick === 1 ? "end" : "middle"}>${tick}</text>`)}
  </svg>`;
}
