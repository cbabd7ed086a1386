// The HTTP API: the same requests that anybody can send. The session's cookie takes the place of the token.

/** A refusal by the API, or no answer at all. `detail` is a sentence that says what to do next. */
export class ApiError extends Error {
  /** @param {number} status 0: the API could not be reached. @param {string} detail @param {Record<string, any>} problem */
  constructor(status, detail, problem = {}) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
    this.problem = problem;
  }
}

/** An address of the API or of a link in its answers, relative to the page's own. @param {string} path */
export function address(path) {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}

/** @type {Set<() => void>} */
const loggedOut = new Set();
/** Call `what` whenever an answer says that the session has ended. @param {() => void} what */
export function onLoggedOut(what) {
  loggedOut.add(what);
  return () => loggedOut.delete(what);
}

/**
 * @param {string} method
 * @param {string} path such as "/v1/images"
 * @param {{query?: Record<string, any>, body?: any, signal?: AbortSignal, keepalive?: boolean}} [options] undefined and null parameters are left out
 */
async function send(method, path, { query, body, signal, keepalive } = {}) {
  const url = new URL(address(path));
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null) url.searchParams.append(name, String(each));
    }
  }
  let response;
  try {
    response = await fetch(url, {
      method,
      signal,
      keepalive,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new ApiError(0, "The API does not answer. Is `enrich api` or `enrich up` running?");
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    if (response.status === 401) for (const what of loggedOut) what();
    throw new ApiError(response.status, problem.detail ?? `${response.status} ${response.statusText}`, problem);
  }
  return response;
}

/** @param {Response} response @returns {Promise<any>} */
const parsed = async (response) => (response.status === 204 ? null : response.json());

export const api = {
  /** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
  get: async (path, query, signal) => parsed(await send("GET", path, { query, signal })),
  /** @param {string} path @param {any} body @param {AbortSignal} [signal] */
  post: async (path, body, signal) => parsed(await send("POST", path, { body, signal })),
  /** The last word of a page that is being left: nobody waits for the answer. @param {string} path @param {any} body */
  last: (path, body) => void send("POST", path, { body, keepalive: true }).catch(() => {}),
  /** @param {string} path @param {any} body */
  put: async (path, body) => parsed(await send("PUT", path, { body })),
  /** @param {string} path @param {Record<string, any>} [query] */
  remove: async (path, query) => parsed(await send("DELETE", path, { query })),
  /** The bytes of an answer. @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
  bytes: async (path, query, signal) => (await send("GET", path, { query, signal })).arrayBuffer(),
};

/** A key in a path: its slashes stay, unless a part of it would be resolved away. @param {string} bucket @param {string} key */
export function objectPath(bucket, key) {
  const plain = key.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  const name = plain ? key.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(key);
  return `${encodeURIComponent(bucket)}/${name}`;
}
