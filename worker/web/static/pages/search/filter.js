// Filters as people choose them: values of facets. Several of one facet: any of them; of several facets: all must match.

/** @typedef {{facet: string, value: string | null}} Choice facet: "tag:TAXONOMY", "camera", "format" or "bucket"; null: no label of the taxonomy */
/**
 * @typedef {object} Chosen
 * @property {Map<string, (string | null)[]>} values by facet
 * @property {string | null} taken "2024", "2024-06" or "2024-06-01"
 * @property {Record<string, any>} rest conditions that no facet shows, as the API takes them
 */

const PLAIN = ["camera", "format", "bucket"];

/** The filter of one value. @param {string} facet @param {string | null} value @returns {Record<string, any>} */
function condition(facet, value) {
  if (!facet.startsWith("tag:")) return { [facet]: value };
  const taxonomy = facet.slice(4);
  return value === null ? { undecided: [taxonomy] } : { tags: [{ taxonomy, label: value }] };
}

/** What a filter says if it is that of one value, else null. @param {Record<string, any>} filter @returns {Choice | null} */
function choice(filter) {
  const [name, ...more] = Object.keys(filter);
  if (more.length || !name) return null;
  if (PLAIN.includes(name)) return { facet: name, value: filter[name] };
  if (name === "undecided" && filter.undecided.length === 1) return { facet: `tag:${filter.undecided[0]}`, value: null };
  if (name !== "tags" || filter.tags.length !== 1) return null;
  return plainTag(filter.tags[0]);
}

/** @param {Record<string, any>} tag @returns {Choice | null} */
const plainTag = (tag) => (Object.keys(tag).length === 2 ? { facet: `tag:${tag.taxonomy}`, value: tag.label } : null);

/** Values of one facet of which any may match, or null. @param {Record<string, any>[]} filters */
function alternatives(filters) {
  const found = filters.map(choice);
  if (!found.length || found.some((each) => !each || each.facet !== found[0]?.facet)) return null;
  return { facet: /** @type {Choice} */ (found[0]).facet, values: found.map((each) => /** @type {Choice} */ (each).value) };
}

/** The facets' values in a filter of the API. @param {Record<string, any> | null} filter @returns {Chosen} */
export function chosen(filter) {
  try {
    return split(filter);
  } catch {
    return { values: new Map(), taken: null, rest: { ...filter } }; // the API says what is wrong with it
  }
}

/** @param {Record<string, any> | null} filter @returns {Chosen} */
function split(filter) {
  /** @type {Map<string, (string | null)[]>} */
  const values = new Map();
  const rest = { ...filter };
  let taken = null;
  for (const name of PLAIN) {
    if (name === "bucket" && rest.prefix !== undefined) continue; // a prefix needs its bucket
    if (rest[name] !== undefined) [values.set(name, [rest[name]]), delete rest[name]];
  }
  const others = [];
  for (const tag of rest.tags ?? []) {
    const found = plainTag(tag);
    if (found && !values.has(found.facet)) values.set(found.facet, [found.value]);
    else others.push(tag);
  }
  if (others.length) rest.tags = others;
  else delete rest.tags;
  if (rest.undecided?.length === 1 && !values.has(`tag:${rest.undecided[0]}`)) [values.set(`tag:${rest.undecided[0]}`, [null]), delete rest.undecided];
  const any = rest.any && alternatives(rest.any);
  if (any && !values.has(any.facet)) [values.set(any.facet, any.values), delete rest.any];
  const none = (rest.none ?? []).filter((/** @type {any} */ each) => {
    const found = Object.keys(each).join() === "none" && alternatives(each.none);
    if (!found || values.has(found.facet)) return true;
    values.set(found.facet, found.values);
    return false;
  });
  if (none.length) rest.none = none;
  else delete rest.none;
  if (rest.taken_since && rest.taken_since === rest.taken_until) [taken = rest.taken_since, delete rest.taken_since, delete rest.taken_until];
  return { values, taken, rest };
}

/** The filter of the API; null: everything matches. @param {Chosen} given @returns {Record<string, any> | null} */
export function written({ values, taken, rest }) {
  /** @type {Record<string, any>} */
  const filter = { ...rest };
  for (const [facet, all] of values) {
    if (all.length === 1) {
      for (const [name, value] of Object.entries(condition(facet, all[0])))
        filter[name] = Array.isArray(value) ? [...(filter[name] ?? []), ...value] : value;
    } else if (all.length) {
      const each = all.map((value) => condition(facet, value));
      if (!filter.any) filter.any = each;
      else filter.none = [...(filter.none ?? []), { none: each }]; // not one of them is not right: a second `any`
    }
  }
  if (taken) [filter.taken_since, filter.taken_until] = [taken, taken];
  return Object.keys(filter).length ? filter : null;
}

/** With a value chosen, or not any more. @param {Chosen} given @param {string} facet @param {string | null} value @returns {Chosen} */
export function toggled(given, facet, value) {
  const values = new Map(given.values);
  const old = values.get(facet) ?? [];
  const now = old.includes(value) ? old.filter((each) => each !== value) : [...old, value];
  if (now.length) values.set(facet, now);
  else values.delete(facet);
  return { ...given, values };
}

/** Without what one facet asks, for its own counts. @param {Chosen} given @param {string} facet @returns {Chosen} */
export function without(given, facet) {
  const values = new Map(given.values);
  values.delete(facet);
  return { ...given, values, taken: facet === "taken" ? null : given.taken };
}
