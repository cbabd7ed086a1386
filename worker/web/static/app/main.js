// The shell: navigation, session, and the page that the address names.
import { ApiError, onLoggedOut } from "./api.js";
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./lib.js";
import { KeyHelp, useKeys } from "./keys.js";
import { followLinks, link, navigate, useRoute } from "./router.js";
import * as sessions from "./session.js";
import { SessionContext } from "./session.js";
import { ErrorBox, Icon, Loading, Toasts } from "./ui.js";

/** @type {[string, string, string][]} page, title, icon */
const PAGES = [
  ["search", "Search", "search"],
  ["review", "Review", "check"],
  ["taxonomies", "Taxonomies", "tags"],
  ["map", "Map", "map"],
  ["operations", "Operations", "pulse"],
];
const KNOWN = new Set([...PAGES.map(([page]) => page), "image", "login"]);

/** Pages are loaded when they are first shown. @type {Map<string, any>} */
const loaded = new Map();

/** @param {string} page */
function usePage(page) {
  const [state, setState] = useState({ page: "", Page: /** @type {any} */ (null), error: /** @type {any} */ (null) });
  useEffect(() => {
    let current = true;
    const known = KNOWN.has(page) ? page : "search";
    const found = loaded.get(known);
    if (found) return setState({ page, Page: found, error: null });
    import(`../pages/${known}.js`).then(
      (module) => {
        loaded.set(known, module.default);
        if (current) setState({ page, Page: module.default, error: null });
      },
      () => current && setState({ page, Page: null, error: new Error("This page was updated meanwhile: reload it.") }),
    );
    return () => {
      current = false;
    };
  }, [page]);
  return state.page === page ? state : { page, Page: null, error: null };
}

function App() {
  const { page, query } = useRoute();
  const [session, setSession] = useState(/** @type {sessions.Session | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const load = () => sessions.load().then((found) => (setSession(found), setError(null)), setError);
  useEffect(() => void load(), []);
  useEffect(() => onLoggedOut(() => setSession((old) => old && { ...old, scopes: [] })), []);

  // Another tab may have logged in meanwhile.
  const out = Boolean(session && session.login_needed && !session.scopes.length);
  useEffect(() => {
    if (!out) return undefined;
    const look = () => void (document.visibilityState === "visible" && load());
    addEventListener("focus", look);
    document.addEventListener("visibilitychange", look);
    return () => (removeEventListener("focus", look), document.removeEventListener("visibilitychange", look));
  }, [out]);

  const code = page === "login" ? location.hash.slice(1) : "";
  let content;
  if (error && !session) content = html`<${ErrorBox} error=${error} retry=${load} />`;
  else if (!session) content = html`<${Loading} what="the session" />`;
  else if (out || code) content = html`<${Login} code=${code} session=${session} done=${setSession} />`;
  else content = html`<${Content} page=${page === "login" ? "search" : page} query=${query} />`;
  return html`<${SessionContext.Provider} value=${session ?? { scopes: [], login_needed: true, expires_at: null }}>
    <${Header} page=${page} session=${session} left=${() => load()} />
    <main id="main" tabindex="-1">${content}</main>
    <${Toasts} /><${KeyHelp} />
  </${SessionContext.Provider}>`;
}

/** @param {{page: string, query: URLSearchParams}} props */
function Content({ page, query }) {
  const { Page, error } = usePage(page);
  useEffect(() => {
    const title = PAGES.find(([name]) => name === page)?.[1] ?? (page === "image" ? query.get("key") : null);
    document.title = title ? `${title} · Image Enricher` : "Image Enricher";
  }, [page, query.get("key")]);
  useKeys(
    PAGES.map(([name, title], at) => ({ key: `g ${at + 1}`, does: `go to ${title}`, run: () => navigate(link(name)) })),
  );
  if (error) return html`<${ErrorBox} error=${error} />`;
  if (!Page) return html`<${Loading} what="the page" />`;
  return html`<${Guarded} Page=${Page} query=${query} />`;
}

/** A page that cannot be drawn says so, and another address is tried anew. @param {{Page: any, query: URLSearchParams}} props */
function Guarded({ Page, query }) {
  const at = `${location.pathname}?${query}`;
  const failed = useRef("");
  const [error, reset] = useErrorBoundary(() => void (failed.current = at));
  useEffect(() => void (error && failed.current !== at && reset()));
  if (!error) return html`<${Page} query=${query} />`;
  return html`<div class="error box" role="alert"><p><strong>This page cannot be shown.</strong> Its address may ask for what there is not, or the page has a mistake: ${error.message}</p>
    <button onClick=${() => navigate(location.pathname.slice(new URL("./", document.baseURI).pathname.length) || "./")}>Without what the address asks</button><button onClick=${() => location.reload()}>Load it again</button></div>`;
}

/** @param {{page: string, session: sessions.Session | null, left: () => void}} props */
function Header({ page, session, left }) {
  const leave = () => sessions.logOut().then(left, left);
  return html`<a class="skip" href="#main">Skip to the content</a>
    <header class="top">
      <a class="brand" href=${link("search")} aria-label="Image Enricher"><${Icon} name="logo" /><span>Image Enricher</span></a>
      ${session && (session.scopes.length > 0 || !session.login_needed) &&
      html`<nav aria-label="Pages">
        ${PAGES.map(
          ([name, title, icon]) => html`<a key=${name} href=${link(name)} aria-current=${page === name ? "page" : null}>
            <${Icon} name=${icon} /><span>${title}</span></a>`,
        )}
      </nav>`}
      ${session?.login_needed && session.scopes.length > 0 &&
      html`<button class="quiet leave" onClick=${leave} aria-label="Log out"><${Icon} name="leave" /><span>Log out</span></button>`}
    </header>`;
}

/**
 * A link with a one-time code logs in by itself; a token can be typed instead.
 * @param {{code: string, session: sessions.Session, done: (session: sessions.Session) => void}} props
 */
function Login({ code, session, done }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(Boolean(code));
  const enter = (/** @type {{code?: string, token?: string}} */ proof) => {
    setBusy(true);
    sessions.logIn(proof).then(
      (found) => {
        if (location.pathname.endsWith("/login")) navigate(link("search"), { replace: true });
        done(found);
      },
      (refused) => {
        setBusy(false);
        if (proof.code) history.replaceState(null, "", "login");
        // A link that was used before is no obstacle to the one who used it.
        if (proof.code && session.scopes.length) return navigate(link("search"), { replace: true });
        setError(refused);
      },
    );
  };
  useEffect(() => void (code && enter({ code })), [code]);
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.target).elements.namedItem("token"));
    if (field.value.trim()) enter({ token: field.value.trim() });
  };
  if (busy && code) return html`<${Loading} what="your session" />`;
  return html`<form class="login card" onSubmit=${submit}>
    <h1>Log in</h1>
    <p>Run <code>enrich login</code> for a link that opens these pages, or paste a token of the API.</p>
    <label>Token <input name="token" type="password" autocomplete="current-password" autofocus required /></label>
    ${error && html`<p class="error" role="alert">${error instanceof ApiError ? error.detail : String(error)}</p>`}
    <button class="primary" disabled=${busy}>Log in</button>
    <p class="muted">The admin token may do everything, the review token may decide about tags, the read token may look.</p>
  </form>`;
}

document.addEventListener("click", followLinks);
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
root.replaceChildren();
render(html`<${App} />`, root);
