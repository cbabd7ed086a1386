// The map: all images as points. Colour them, look at them, outline some, review those.
import { api } from "../app/api.js";
import { count, plural } from "../app/format.js";
import { useKeys } from "../app/keys.js";
import { html, useEffect, useMemo, useRef, useState } from "../app/lib.js";
import { useEvery, useLoaded } from "../app/load.js";
import { link, navigate } from "../app/router.js";
import { useMay } from "../app/session.js";
import { Empty, ErrorBox, Icon, Loading, toast, toastError } from "../app/ui.js";
import { PointCard } from "./map/card.js";
import { Chart } from "./map/chart.js";
import { decoded, palette } from "./map/colours.js";
import { About, NoMap } from "./map/drawing.js";
import { Legend } from "./map/legend.js";
import { canDraw } from "./map/scatter.js";
import { spread } from "./map/view.js";

/** @typedef {import("./map/drawing.js").MapVersion} MapVersion */

/** Images that the API looks up at once, and that are reviewed at once. */
const MOST = 1000;
const NONE = { point: -1, x: 0, y: 0 };
/** Where the review page finds what was chosen here: `[{bucket, key}]`. */
const SELECTION = "enrich.selection";

const styles = document.createElement("link");
styles.rel = "stylesheet";
styles.href = new URL("./map/map.css", import.meta.url).href;
document.head.append(styles);

/** @param {{query: URLSearchParams}} props */
export default function Page({ query }) {
  const able = useMemo(canDraw, []);
  const may = useMay("review");
  const [seen, setSeen] = useState(/** @type {MapVersion[] | null} */ (null));
  const maps = useLoaded("maps", (signal) => api.get("/v1/maps", {}, signal));
  useEffect(() => maps.value && setSeen(maps.value.maps), [maps.value]);
  const list = seen ?? [];
  const current = list.find((map) => map.current);
  const underWay = list.find((map) => map.drawing);
  useEvery(1.5, () => (underWay || current?.updating || maps.error) && maps.again());
  useEvery(60, maps.again);
  if (!able) return html`<${NoWebGl} />`;
  if (!seen) return maps.error ? html`<${ErrorBox} error=${maps.error} retry=${maps.again} />` : html`<${Loading} what="the map" />`;
  if (!current) {
    const failed = list[0]?.state === "failed" ? list[0] : undefined;
    return html`<h1>Map</h1><${NoMap} underWay=${underWay} failed=${failed} may=${may} asked=${maps.again} />`;
  }
  return html`<${Atlas} map=${current} underWay=${underWay} may=${may} asked=${maps.again} query=${query} />`;
}

function NoWebGl() {
  return html`<h1>Map</h1><${Empty} title="This browser cannot draw the map">
    <p>The map needs WebGL 2, which is missing here or turned off: often hardware acceleration is off in the browser's settings.</p>
    <p>Everything on the map is also in <a href=${link("search")}>Search</a>.</p></${Empty}>`;
}

/** What to colour by: the address has it, else the taxonomy that leaves the fewest images without a label. @param {URLSearchParams} query @param {any} taxonomies @param {any} counts */
function choice(query, taxonomies, counts) {
  const [fullest] = [...(counts?.taxonomies ?? [])].sort((one, other) => one.undecided - other.undecided);
  const first = fullest?.taxonomy ?? taxonomies?.taxonomies?.[0]?.name;
  return query.get("by") ?? (first ? `tag:${first}` : "bucket");
}

/** @param {{map: MapVersion, underWay?: MapVersion, may: boolean, asked: () => void, query: URLSearchParams}} props */
function Atlas({ map, underWay, may, asked, query }) {
  const taxonomies = useLoaded("taxonomies", (signal) => api.get("/v1/taxonomies", {}, signal));
  const counts = useLoaded(query.has("by") ? null : "counts", (signal) => api.get("/v1/label-counts", { limit: 1 }, signal));
  const ready = (taxonomies.value || taxonomies.error) && !counts.busy;
  const by = choice(query, taxonomies.value, counts.value);
  const points = useLoaded(`${map.id} ${map.images}`, (signal) => api.bytes(`/v1/maps/${map.id}/points`, { count: map.images }, signal));
  const colours = useLoaded(ready ? `${map.id} ${map.images} ${by}` : null, (signal) =>
    api.get(`/v1/maps/${map.id}/colours`, { by, count: map.images }, signal));
  const [hidden, hide] = useState(/** @type {Set<number>} */ (new Set()));
  useEffect(() => hide(new Set()), [by, map.id]);
  const places = useMemo(() => points.value && new Uint16Array(points.value), [points.value]);
  const column = useMemo(() => colours.value && decoded(colours.value.column), [colours.value]);
  const legend = colours.value?.legend ?? [];
  const names = (taxonomies.value?.taxonomies ?? []).map((/** @type {{name: string}} */ each) => each.name);
  const error = points.error ?? colours.error;
  return html`<div class="map-page">
    <h1 class="visually-hidden">Map</h1>
    ${places
      ? html`<${Stage} map=${map} places=${places} column=${column} legend=${legend} hidden=${hidden} may=${may} />`
      : html`<div class="map-stage">${!error && html`<${Loading} what="the map's points" />`}</div>`}
    <aside class="map-side">
      ${error && html`<${ErrorBox} error=${error} retry=${() => (points.again(), colours.again())} />`}
      <label class="map-by">Colour by
        <select value=${by} onChange=${(/** @type {any} */ event) => navigate(link("map", { by: event.target.value }), { replace: true })}>
          ${names.map((/** @type {string} */ name) => html`<option value=${`tag:${name}`}>${name}</option>`)}
          <option value="decision">people's decisions</option><option value="time">when it was taken</option><option value="bucket">bucket</option>
        </select></label>
      <${Legend} legend=${legend} hidden=${hidden} hide=${hide} busy=${colours.busy} />
      <${About} map=${map} underWay=${underWay} may=${may} asked=${asked} />
    </aside>
  </div>`;
}

/** @param {{map: MapVersion, places: Uint16Array, column: Uint8Array | null, legend: any[], hidden: Set<number>, may: boolean}} props */
function Stage({ map, places, column, legend, hidden, may }) {
  const [stage, canvas, path] = [useRef(null), useRef(null), useRef(null)];
  const chart = useRef(/** @type {Chart | null} */ (null));
  const before = useRef(0);
  const [hovered, setHovered] = useState(NONE);
  const [pinned, setPinned] = useState(NONE);
  const [chosen, setChosen] = useState(/** @type {Uint32Array | null} */ (null));
  const [outlining, setOutlining] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    try {
      chart.current = new Chart(/** @type {any} */ (stage.current), /** @type {any} */ (canvas.current), /** @type {any} */ (path.current), {
        hover: setHovered,
        pick: setPinned,
        move: () => setPinned(NONE),
        select: (found) => (setChosen(found.length ? found : null), found.length || toast("No image is inside of the outline.")),
      });
    } catch (refused) {
      setError(refused);
    }
    return () => chart.current?.close();
  }, []);
  useEffect(() => {
    chart.current?.setPlaces(places, before.current > 0);
    before.current = map.id;
    setChosen(null);
    setPinned(NONE);
  }, [places]);
  useEffect(() => {
    if (column) chart.current?.setColours(column, palette(legend, hidden));
  }, [column, legend, hidden, places]);
  useEffect(() => chart.current?.choose(chosen), [chosen]);
  useEffect(() => {
    if (chart.current) chart.current.mode = outlining ? "outline" : "move";
  }, [outlining]);

  const chooseVisible = () => setChosen(chart.current?.visible() ?? null);
  const pinMiddle = () => {
    const found = chart.current?.middle();
    if (found) setPinned(found);
    else toast("No image is near the middle of the view.");
  };
  const clear = () => (setChosen(null), setPinned(NONE));
  useKeys([
    { key: "v", does: "choose all images in view", run: chooseVisible },
    { key: "o", does: "draw an outline, or move the map", run: () => setOutlining((on) => !on) },
    { key: "i", does: "show the image in the middle", run: pinMiddle },
    { key: "0", does: "show the whole map", run: () => chart.current?.fit() },
    { key: "Escape", does: "choose nothing", run: clear },
  ]);
  if (error) return html`<div class="map-stage"><${ErrorBox} error=${error} /></div>`;
  const card = pinned.point >= 0 ? pinned : hovered;
  const { width, height } = chart.current?.size ?? { width: 0, height: 0 };
  return html`<div class=${`map-stage ${outlining ? "outlining" : ""}`} ref=${stage} tabindex="0" role="application"
    aria-label=${`Map of ${plural(map.images, "image")}. Arrow keys move it, plus and minus zoom, V chooses all images in view, I shows the one in the middle.`}>
    <canvas ref=${canvas} aria-hidden="true"></canvas>
    <svg aria-hidden="true"><path ref=${path} /></svg>
    <${Tools} outlining=${outlining} outline=${() => setOutlining((on) => !on)} fit=${() => chart.current?.fit()}
      zoom=${(/** @type {number} */ factor) => chart.current?.zoom(factor)} visible=${chooseVisible} />
    ${chosen && html`<${Chosen} map=${map} points=${chosen} may=${may} clear=${clear} />`}
    ${card.point >= 0 && html`<span class="map-ring" aria-hidden="true" style=${{ left: `${card.x}px`, top: `${card.y}px` }}></span>
    <${PointCard} map=${map.id} point=${card.point} x=${card.x} y=${card.y} width=${width} height=${height}
      pinned=${pinned.point >= 0} close=${() => setPinned(NONE)} />`}
  </div>`;
}

/** @param {{outlining: boolean, outline: () => void, fit: () => void, zoom: (factor: number) => void, visible: () => void}} props */
function Tools({ outlining, outline, fit, zoom, visible }) {
  return html`<div class="map-tools" role="toolbar" aria-label="Map">
    <button aria-pressed=${outlining} title="Drag an outline around images (O, or Shift and drag)" onClick=${outline}>Outline</button>
    <button title="Choose all images in view (V)" onClick=${visible}>Choose visible</button>
    <button aria-label="Closer" title="Closer (+)" onClick=${() => zoom(1.6)}><${Icon} name="plus" /></button>
    <button aria-label="Farther" title="Farther (−)" onClick=${() => zoom(1 / 1.6)}><${Icon} name="minus" /></button>
    <button title="Show the whole map (0)" onClick=${fit}>Whole map</button>
  </div>`;
}

/** @param {{map: MapVersion, points: Uint32Array, may: boolean, clear: () => void}} props */
function Chosen({ map, points, may, clear }) {
  const [busy, setBusy] = useState(false);
  const review = async () => {
    setBusy(true);
    try {
      const found = await api.post(`/v1/maps/${map.id}/images`, { points: [...spread(points, MOST)] });
      const refs = found.images.map((/** @type {any} */ image) => ({ bucket: image.bucket, key: image.key }));
      sessionStorage.setItem(SELECTION, JSON.stringify(refs));
      navigate(link("review", { from: "selection" }));
    } catch (error) {
      setBusy(false);
      toastError(error);
    }
  };
  const some = points.length > MOST;
  return html`<div class="map-chosen" role="status">
    <span><strong>${count(points.length)}</strong> chosen</span>
    ${may && html`<button class="primary" disabled=${busy} onClick=${review}
      title=${some ? `${count(MOST)} of them, evenly spread` : ""}>${some ? `Review ${count(MOST)} of these` : "Review these"}</button>`}
    <button onClick=${clear}>Clear</button>
  </div>`;
}
