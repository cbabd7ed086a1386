// Preact, its hooks and htm: every module imports them from here.
import { h, render, Fragment, createContext } from "preact";
import {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "preact/hooks";
import htm from "htm";

/** Templates: html`<p class="x">${value}</p>`. Values are text, never markup, so nothing needs escaping. */
export const html = htm.bind(h);
export {
  h, render, Fragment, createContext,
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
};
