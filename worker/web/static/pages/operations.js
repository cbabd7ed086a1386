// Operations: is everything accounted for, how fast does it go, what needs a person. Updates by itself.
import { api, ApiError } from "../app/api.js";
import { count } from "../app/format.js";
import { html, useEffect, useState } from "../app/lib.js";
import { useKeys } from "../app/keys.js";
import { ErrorBox, Loading } from "../app/ui.js";
import { Buckets, Equation } from "./operations/buckets.js";
import { BacklogTile, LatencyTile, Lanes, RateTile, Tile, total } from "./operations/numbers.js";
import { isAway, useHistory, usePolled } from "./operations/polling.js";
import { isAlive, Problems, problems, Processes } from "./operations/processes.js";
import { Quarantine } from "./operations/quarantine.js";
import { RejectedEvents } from "./operations/rejected.js";
import { FeedState, Spaces } from "./operations/spaces.js";

/** Seconds between two looks at what changes fast; the rest is asked for less often. */
const FAST = 3;
const SLOW = 9;

/** What changes with every image. @param {AbortSignal} signal */
async function loadState(signal) {
  const [buckets, backlog, processes] = await Promise.all([
    api.get("/v1/buckets", undefined, signal), api.get("/v1/backlog", undefined, signal), api.get("/v1/processes", undefined, signal),
  ]);
  return { buckets: buckets.buckets, backlog, processes: processes.processes };
}

/** Also what an API says that is not ready. @param {AbortSignal} signal */
async function loadReady(signal) {
  try {
    return await api.get("/readyz", undefined, signal);
  } catch (error) {
    if (error instanceof ApiError && error.problem.refused) return { refused: [error.problem.reason, ...error.problem.refused] };
    throw error;
  }
}

/** @param {{query: URLSearchParams}} props */
export default function Operations({ query }) {
  const [paused, setPaused] = useState(false);
  const often = paused ? null : FAST;
  const seldom = paused ? null : SLOW;
  const fast = usePolled(often, loadState);
  const speed = usePolled(seldom, (signal) => api.get("/v1/throughput", undefined, signal));
  const spaces = usePolled(seldom, (signal) => api.get("/v1/spaces", undefined, signal));
  const feed = usePolled(seldom, (signal) => api.get("/v1/feed", undefined, signal));
  const compared = usePolled(seldom, (signal) => api.get("/v1/reconciliations", undefined, signal));
  const ready = usePolled(seldom, loadReady);
  const pending = useHistory(fast.value?.backlog.pending ?? null, fast.at);
  useKeys([{ key: "p", does: paused ? "go on updating" : "stop updating", run: () => setPaused(!paused) }]);
  const again = () => [fast, speed, spaces, feed, compared, ready].forEach((each) => each.again());
  const style = html`<link rel="stylesheet" href=${new URL("operations/operations.css", import.meta.url).href} />`;
  if (!fast.value) {
    return html`${style}<h1>Operations</h1>${fast.error ? html`<${Away} error=${fast.error} at=${null} again=${again} />` : html`<${Loading} what="numbers" />`}`;
  }
  const { buckets, backlog, processes } = fast.value;
  const targets = compared.value?.reconciliations ?? [];
  const objects = total(buckets);
  return html`${style}<div class="operations">
    <div class="row head"><h1>Operations</h1><span class="grow"></span>
      <${Updated} at=${fast.at} paused=${paused} away=${isAway(fast.error)} />
      <button aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? "Go on" : "Pause"}</button></div>
    ${fast.error && html`<${Away} error=${fast.error} at=${fast.at} again=${again} />`}
    <${Part} poll=${compared} what="comparisons with the store" quiet=${fast.error}>
      <${Equation} buckets=${buckets} targets=${targets} />
      <${Problems} found=${problems({ processes, buckets, targets, pending: objects.pending, refused: ready.value?.refused ?? [], blocker: feed.value?.blocker ?? null })} quarantined=${objects.quarantined} /></${Part}>
    <${Tiles} objects=${objects} backlog=${backlog} processes=${processes} speed=${speed.value} history=${pending} />
    ${speed.error && !fast.error && html`<${ErrorBox} error=${speed.error} retry=${speed.again} />`}
    <section class="card" aria-labelledby="buckets"><h2 id="buckets">Buckets</h2><${Buckets} buckets=${buckets} targets=${targets} /></section>
    <div class="op-columns">
      <section class="card" aria-labelledby="backlog"><h2 id="backlog">Backlog by lane</h2><${Lanes} found=${backlog} /></section>
      <section class="card" aria-labelledby="processes"><h2 id="processes">Processes</h2><${Processes} found=${processes} /></section>
      <section class="card" aria-labelledby="spaces"><h2 id="spaces">Embedding spaces</h2><${Part} poll=${spaces} what="spaces" quiet=${fast.error}>
        <${Spaces} spaces=${spaces.value?.spaces} images=${objects.enriched} at=${spaces.at} /></${Part}></section>
      <section class="card" aria-labelledby="feed"><h2 id="feed">Change feed</h2><${Part} poll=${feed} what="the change feed" quiet=${fast.error}>
        <${FeedState} feed=${feed.value} /></${Part}></section>
    </div>
    <${Quarantine} query=${query} seconds=${often} version=${String(objects.quarantined)} changed=${fast.again} />
    <${RejectedEvents} seconds=${seldom} />
  </div>`;
}

/**
 * A part of the page: what it shows once there is an answer, and what is wrong where it belongs.
 * @param {{poll: {value: any, error: any, again: () => void}, what: string, quiet: any, children?: any}} props
 * `quiet`: the whole API is away, which is said once
 */
function Part({ poll, what, quiet, children }) {
  return html`${poll.error && !quiet ? html`<${ErrorBox} error=${poll.error} retry=${poll.again} />` : null}
    ${poll.value ? children : !poll.error && html`<${Loading} what=${what} />`}`;
}

/**
 * The numbers that matter most.
 * @param {{objects: {quarantined: number}, backlog: any, processes: import("./operations/processes.js").Process[], speed: any, history: any}} props
 */
function Tiles({ objects, backlog, processes, speed, history }) {
  const workers = processes.filter((each) => each.kind === "worker");
  const alive = workers.filter(isAlive).length;
  return html`<div class="op-figures">
    <${RateTile} found=${speed} /><${BacklogTile} found=${backlog} speed=${speed} history=${history} /><${LatencyTile} found=${speed} />
    <${Tile} title="Quarantined" value=${count(objects.quarantined)} tone=${objects.quarantined ? "warn" : ""}>
      <p class="muted">${objects.quarantined ? html`<a href="operations#quarantine">see why</a>` : "nothing"}</p></${Tile}>
    <${Tile} title="Workers alive" value=${alive === workers.length ? count(alive) : `${count(alive)} of ${count(workers.length)}`} tone=${alive < workers.length || !alive ? "bad" : ""}>
      <p class="muted">${count(workers.filter((each) => each.activity === "working").length)} working now</p></${Tile}>
  </div>`;
}

/** @param {{at: number | null, paused: boolean, away: boolean}} props */
function Updated({ at, paused, away }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = at === null ? 0 : Math.round((Date.now() - at) / 1000);
  return html`<span class=${`muted ${away ? "bad" : ""}`}>${paused ? "paused; " : ""}updated ${seconds < 2 ? "now" : `${seconds} s ago`}</span>`;
}

/** The API is away, or refuses: what that means for the numbers. @param {{error: any, at: number | null, again: () => void}} props */
function Away({ error, at, again }) {
  if (!isAway(error)) return html`<${ErrorBox} error=${error} retry=${again} />`;
  return html`<div class="error box" role="alert"><p><strong>Not reachable, retrying.</strong> ${error.detail}
    ${at === null ? "" : ` The numbers are those of ${new Date(at).toLocaleTimeString()}.`}</p><button onClick=${again}>Try now</button></div>`;
}
