// What reviews of a plan can prove: exact binomial arithmetic, as `worker.pipeline.evaluation` does it.

/** @type {number[]} ln 0!, ln 1!, … */
const logFactorials = [0];
/** @param {number} n */
function logFactorial(n) {
  for (let at = logFactorials.length; at <= n; at++) logFactorials.push(logFactorials[at - 1] + Math.log(at));
  return logFactorials[n];
}

/** The probability of so many errors or fewer among `count`. @param {number} errors @param {number} count @param {number} chance of each, above 0 and below 1 */
export function atMost(errors, count, chance) {
  let sum = 0;
  for (let each = 0; each <= Math.min(errors, count); each++) {
    const ways = logFactorial(count) - logFactorial(each) - logFactorial(count - each);
    sum += Math.exp(ways + each * Math.log(chance) + (count - each) * Math.log1p(-chance));
  }
  return Math.min(sum, 1);
}

/** Reviews that prove a precision if none is wrong: 59 for .95 with .05. @param {number} target @param {number} delta error probability */
export const least = (target, delta) => Math.max(Math.ceil(Math.log(delta) / Math.log(target)), 1);

/** Among how many thresholds a test of `count` images searches; they share the error probability. @param {number} count @param {number} target @param {number} delta */
export function starts(count, target, delta) {
  let found = count ? 1 : 0;
  for (let doublings = 1; least(target, delta / (doublings + 1)) * 2 ** (doublings - 1) <= count; doublings++) found = doublings + 1;
  return found;
}

/** Most errors among `count` with which all of them still prove the target; -1: so few prove nothing. @param {number} count @param {number} target @param {number} delta */
export function allowed(count, target, delta) {
  const alpha = delta / Math.max(starts(count, target, delta), 1);
  let errors = -1;
  while (errors < count && atMost(errors + 1, count, 1 - target) <= alpha) errors++;
  return errors;
}

/** The precision that is refuted with error probability `alpha` if it is lower (Clopper and Pearson). @param {number} count @param {number} errors @param {number} alpha */
export function lowerBound(count, errors, alpha) {
  if (errors >= count) return 0;
  let [low, high] = [0, 1];
  for (let step = 0; step < 50; step++) {
    const middle = (low + high) / 2;
    if (atMost(errors, count, 1 - middle) < alpha) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * How far a plan is from its next look: the only moments at which its results may be judged.
 * @param {any} plan as the API has it @param {number} [spent] looks that earlier plans about the label have used
 */
export function progress(plan, spent = 0) {
  const open = plan.looks.findIndex((/** @type {any} */ each) => !each.complete);
  const at = open < 0 ? plan.looks.length - 1 : open;
  const look = plan.looks[at];
  const counted = look.right + look.wrong;
  const left = look.items - counted - look.unsure - look.left_out;
  const delta = plan.delta * 0.5 ** (spent + at + 1);
  return {
    at, look, counted, left, delta,
    wrong: look.wrong,
    complete: plan.looks.filter((/** @type {any} */ each) => each.complete).length,
    least: least(plan.target, delta),
    allowed: allowed(counted + left, plan.target, delta),
    bound: lowerBound(counted, look.wrong, delta),
  };
}

/** Looks used by earlier plans about the same label, each of which halves what the next may spend. @param {any} plan @param {any[]} others */
export function spentBefore(plan, others) {
  return others
    .filter((each) => each.queue === "random" && !each.outdated && each.label === plan.label && each.id < plan.id)
    .reduce((sum, each) => sum + each.look, 0);
}
