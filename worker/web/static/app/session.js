// Who is asking, and what may be offered.
import { createContext, useContext } from "./lib.js";
import { api } from "./api.js";

/**
 * @typedef {object} Session
 * @property {string[]} scopes of the token behind the session: "read", "review", "admin"
 * @property {boolean} login_needed requests need a token or a session
 * @property {string | null} expires_at
 */

export const SessionContext = createContext(/** @type {Session} */ ({ scopes: [], login_needed: true, expires_at: null }));

/** Whether the session may do what needs this scope. Offer nothing that would be refused. @param {string} scope */
export function useMay(scope) {
  return useContext(SessionContext).scopes.includes(scope);
}

/** @returns {Promise<Session>} */
export const load = () => api.get("/session");
/** @param {{code?: string, token?: string}} proof @returns {Promise<Session>} */
export const logIn = (proof) => api.post("/session", proof);
export const logOut = () => api.remove("/session");
