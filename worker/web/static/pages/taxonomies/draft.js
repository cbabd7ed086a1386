// A taxonomy that is being edited: plain values, and functions that return changed copies.

/**
 * @typedef {object} Row a label
 * @property {number} id stays the same while the name is typed
 * @property {string} name
 * @property {string} prompts one a line, as typed
 * @property {Record<string, any>} fields everything else that a file says about it: title, not, threshold, translations …
 * @property {Row[]} children
 */
/**
 * @typedef {object} Draft
 * @property {Record<string, any>} fields everything that a file says, except labels
 * @property {Row[]} rows
 */

let last = 0;

/** @param {Partial<Row>} [given] @returns {Row} */
export const newRow = (given = {}) => ({ id: ++last, name: "", prompts: "", fields: {}, children: [], ...given });

/** @returns {Draft} */
export const newDraft = () => ({ fields: { name: "" }, rows: [newRow(), newRow()] });

/** The document of a file, as `GET /v1/taxonomies/{name}` has it. @param {Record<string, any>} document @returns {Draft} */
export function fromDocument({ labels, ...fields }) {
  return { fields, rows: rowsOf(labels) };
}

/** @param {Record<string, any>} labels @returns {Row[]} */
function rowsOf(labels) {
  return Object.entries(labels ?? {}).map(([name, value]) => {
    const { prompts = [], children, ...fields } = Array.isArray(value) ? { prompts: value } : value;
    return newRow({ name, prompts: prompts.join("\n"), fields, children: rowsOf(children) });
  });
}

/** A draft from storage: its rows get numbers of this page. @param {Draft} stored @returns {Draft} */
export function revived(stored) {
  /** @param {Row[]} rows @returns {Row[]} */
  const renew = (rows) => rows.map((row) => newRow({ ...row, id: ++last, children: renew(row.children) }));
  return { fields: stored.fields, rows: renew(stored.rows) };
}

/** One text a line, without empty ones. @param {string} text */
export const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** Whether there is enough to try the label. @param {Row} row */
export const isComplete = (row) => Boolean(row.name.trim() && (lines(row.prompts).length || row.fields.learned || row.children.some(isComplete)));

/** Without labels that are not ready to be tried. @param {Draft} draft @returns {Draft} */
export function complete(draft) {
  /** @param {Row[]} rows @returns {Row[]} */
  const kept = (rows) => rows.filter(isComplete).map((row) => ({ ...row, children: kept(row.children) }));
  return { fields: draft.fields, rows: kept(draft.rows) };
}

/** Every row with its depth, parents first. @param {Row[]} rows @param {number} [depth] @returns {{row: Row, depth: number}[]} */
export const walk = (rows, depth = 0) => rows.flatMap((row) => [{ row, depth }, ...walk(row.children, depth + 1)]);

/**
 * With one row replaced by others; none removes it.
 * @param {Row[]} rows @param {number} id @param {(row: Row) => Row[]} change @returns {Row[]}
 */
function replaced(rows, id, change) {
  return rows.flatMap((row) => (row.id === id ? change(row) : [{ ...row, children: replaced(row.children, id, change) }]));
}

/** @param {Draft} draft @param {number} id @param {Partial<Row>} change @returns {Draft} */
export const withRow = (draft, id, change) => ({ ...draft, rows: replaced(draft.rows, id, (row) => [{ ...row, ...change }]) });
/** @param {Draft} draft @param {number} id @returns {Draft} */
export const withoutRow = (draft, id) => ({ ...draft, rows: replaced(draft.rows, id, () => []) });
/** @param {Draft} draft @param {number} id @param {Row} child @returns {Draft} */
export const withChild = (draft, id, child) => ({ ...draft, rows: replaced(draft.rows, id, (row) => [{ ...row, children: [...row.children, child] }]) });
/** @param {Draft} draft @param {Row} row @returns {Draft} */
export const withLast = (draft, row) => ({ ...draft, rows: [...draft.rows, row] });

/** Empty values are left out of the file. @param {Draft} draft @param {string} name @param {any} value @returns {Draft} */
export function withField(draft, name, value) {
  const { [name]: _, ...rest } = draft.fields;
  const empty = value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length);
  return { ...draft, fields: empty ? rest : { ...rest, [name]: value } };
}

/** The prompts as typed; a label that has some is not taught by decisions alone. @param {Draft} draft @param {Row} row @param {string} text */
export function withPrompts(draft, row, text) {
  const { learned, ...rest } = row.fields;
  return withRow(draft, row.id, { prompts: text, fields: learned && !lines(text).length ? row.fields : rest });
}

/**
 * The label's own threshold, in place of what the file says for it elsewhere.
 * @param {Draft} draft @param {Row} row @param {number | undefined} value undefined: the taxonomy's @returns {Draft}
 */
export function withThreshold(draft, row, value) {
  const { threshold: _, ...rest } = row.fields;
  const changed = withRow(draft, row.id, { fields: value === undefined ? rest : { ...rest, threshold: value } });
  const models = Object.entries(draft.fields.models ?? {}).map(([model, own]) => {
    const { [row.name]: __, ...others } = own.thresholds ?? {};
    const { thresholds: ___, ...numbers } = own;
    return [model, Object.keys(others).length ? { ...numbers, thresholds: others } : numbers];
  });
  return models.length ? withField(changed, "models", Object.fromEntries(models)) : changed;
}
