"""Whether a learned head is better than zero-shot: cross-validation, the paired sign test, and the learning curve.

Each image is answered by a head that was learned without it and without its near-duplicates. A head **wins** an image
that it answers rightly and zero-shot wrongly, and **loses** one the other way round; equal answers say nothing. If
both were equally good, wins and losses would be as likely as the sides of a coin, which is what the one-sided exact
binomial test asks (the sign test; McNemar's test in its exact form).

Only images that were drawn at random judge. Those picked because a model was unsure about them made heads look five
times better than they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import bdtrc, expit, logsumexp

from worker.tagging.heads import UNDECIDED, Doubles, Numbers, Problem, Reviews, anchors, usual_penalty
from worker.types import Floats

FOLDS = 5
#: A head is promoted by itself at this p-value or below …
SIGNIFICANT = 0.05
#: … and by a person if it won so many more than it lost.
LEAD_FOR_A_PERSON = 2

#: Of the learning curve, besides all reviews.
_SHARES = (0.25, 0.5)
#: How many times each part of the reviews is drawn anew: as often as so many images in all allow.
_DRAWN, _MOST_DRAWS = 2000, 10
#: Nothing is forecast further than this many times the images that were judged.
_FORESIGHT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SignTest:
    """Paired comparison of two answerers on the same images."""

    won: int
    lost: int

    @property
    def p(self) -> float:
        """Chance of so many wins or more if both are equally good."""
        return p_value(self.won, self.lost)

    @property
    def passed(self) -> bool:
        """Whether a head may be promoted without a person's word."""
        return self.p <= SIGNIFICANT

    @property
    def promotable(self) -> bool:
        """Whether a person may promote it."""
        return self.won - self.lost >= LEAD_FOR_A_PERSON

    @property
    def would_do(self) -> tuple[tuple[int, int], ...]:
        """The fewest (won, lost) that pass: with no further loss, and with one more."""
        return tuple((needed_wins(lost), lost) for lost in (self.lost, self.lost + 1))

    def __str__(self) -> str:
        said = f"won {self.won}, lost {self.lost}"
        if self.passed:
            return f"{said} (p {self.p:.2g})"
        return f"{said}; {' or '.join(f'{won}:{lost}' for won, lost in self.would_do)} would do"


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """How right answers were with heads that were learned from some of the reviews."""

    reviews: int
    zero_shot: float  # accuracy
    head: float

    @property
    def gain(self) -> float:
        """In accuracy, over zero-shot."""
        return self.head - self.zero_shot


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A head's answers about images that it was not learned from."""

    reviews: Reviews
    logits: Floats  # [n, K], or [n, K + 1] with a row for "none": out of fold
    penalty: float
    curve: tuple[CurvePoint, ...]  # ascending; the last one is of all reviews

    @cached_property
    def probabilities(self) -> Floats:
        """``[n, K]``: out of fold, as the deciding code computes them."""
        return probabilities(self.reviews, self.logits)

    @cached_property
    def given(self) -> Numbers:
        """The head's answers, in the form of ``Reviews.answers``."""
        return given(self.reviews, self.logits)

    @cached_property
    def test(self) -> SignTest:
        """Against zero-shot, over the images that judge; near-duplicates count as one."""
        rights = _rights(self.reviews, self.given) - _rights(self.reviews, given(self.reviews, self.reviews.base))
        judges = self.reviews.judges
        _, cluster = np.unique(self.reviews.clusters[judges], return_inverse=True)
        totals = np.bincount(cluster, weights=rights[judges]) if len(cluster) else np.zeros(0)
        return SignTest(won=int((totals > 0).sum()), lost=int((totals < 0).sum()))

    @cached_property
    def judged(self) -> int:
        """Different scenes that judged: near-duplicates count as one."""
        return len(np.unique(self.reviews.clusters[self.reviews.judges]))

    @property
    def accuracy(self) -> tuple[float, float]:
        """Of zero-shot and of the head, over the images that judge."""
        return self.curve[-1].zero_shot, self.curve[-1].head

    @cached_property
    def more(self) -> int | None:
        """About how many further random reviews the sign test needs; None: it cannot be said.

        At the rates of wins and losses seen so far: they rise as a head learns, so this is rather too many. Nothing
        is said of a head that is not ahead, and nothing beyond ten times what was reviewed.
        """
        return further_reviews(self.test, self.judged)


def cross_validated(reviews: Reviews, *, seed: int, penalty: float | None = None, curve: bool = True) -> Trial:
    """Answer every image by a head that was learned without it.

    Args:
        reviews: two clusters or more.
        seed: of folds and of the draws of the learning curve.
        penalty: λ of the head that is judged; None: the usual one for all reviews.
        curve: whether to learn from parts of the reviews, too, which takes most of the time.

    Raises:
        ValueError: everything is one cluster, so nothing can be left out; or what ``fit`` raises.
    """
    problem = Problem(reviews)
    strength = usual_penalty(len(reviews)) if penalty is None else penalty
    random = np.random.default_rng(seed)
    folds = grouped_folds(_strata(reviews), reviews.clusters, random)
    parts = [np.flatnonzero(folds != fold) for fold in range(folds.max() + 1)]
    logits = _out_of_fold(problem, folds, parts, strength)
    shares = _SHARES if curve else ()
    smaller = [_part_of_curve(problem, folds, parts, share, random) for share in shares]
    points = [point for point in smaller if point is not None]
    return Trial(
        reviews=reviews, logits=logits, penalty=strength, curve=(*points, _point(reviews, len(reviews), [logits]))
    )


def p_value(won: int, lost: int) -> float:
    """One-sided exact sign test: P(Bin(won + lost, ½) ≥ won)."""
    return float(bdtrc(won - 1, won + lost, 0.5))


def needed_wins(lost: int) -> int:
    """The fewest wins that pass the sign test against so many losses."""
    won = lost
    while p_value(won, lost) > SIGNIFICANT:
        won += 1
    return won


def further_reviews(test: SignTest, judged: int) -> int | None:
    """See ``Trial.more``; 0: it has passed."""
    if test.passed:
        return 0
    if test.won <= test.lost:
        return None
    for images in range(judged + 1, _FORESIGHT * judged + 1):
        if p_value(test.won * images // judged, -(-test.lost * images // judged)) <= SIGNIFICANT:
            return images - judged
    return None


def grouped_folds(strata: Numbers, groups: Numbers, random: np.random.Generator) -> Numbers:
    """``[n]``: the fold of each image. A group stays together, and strata spread evenly.

    Raises:
        ValueError: fewer than two groups.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    if count < 2:  # noqa: PLR2004
        raise ValueError("all reviewed images are near-duplicates of each other; review different ones")
    _, stratum = np.unique(strata, return_inverse=True)
    table = np.zeros((count, int(stratum.max()) + 1), dtype=np.intp)
    np.add.at(table, (group, stratum), 1)
    totals = table.sum(axis=0)
    fold = np.empty(count, dtype=np.intp)
    held = np.zeros((min(FOLDS, count), table.shape[1]))
    shuffled = random.permutation(count)
    for each in shuffled[np.argsort(-table[shuffled].sum(axis=1), kind="stable")]:
        load = ((held + table[each]) / totals @ (table[each] > 0), held.sum(axis=1))
        fold[each] = np.lexsort((load[1], load[0]))[0]
        held[fold[each]] += table[each]
    return fold[group]


def given(reviews: Reviews, logits: Floats) -> Numbers:
    """Answers by the strongest candidate, whatever the thresholds, in the form of ``Reviews.answers``."""
    labels = logits[:, : reviews.labels]
    if reviews.independent:
        return (labels > reviews.other).astype(np.intp)
    best = labels.argmax(axis=1)
    strongest = labels[np.arange(len(labels)), best]
    return np.where(strongest > _rival(reviews, logits), best, reviews.labels)


def probabilities(reviews: Reviews, logits: Floats) -> Floats:
    """``[n, K]``: as ``scoring`` computes them from these logits."""
    labels = logits[:, : reviews.labels].astype(np.float64)
    rival = _rival(reviews, logits).astype(np.float64)
    if reviews.independent:
        found = expit(labels - rival)
    elif reviews.relative:
        found = expit(labels - np.maximum(_strongest_other(labels), rival[:, None]))
    else:
        found = np.exp(labels - logsumexp(np.column_stack([labels, rival]), axis=1, keepdims=True))
    chances: Floats = found.astype(np.float32)
    return chances


def leads(reviews: Reviews, logits: Floats) -> Floats:
    """``[n, K]``: over the strongest other candidate, in probability, as ``scoring`` computes them."""
    own = probabilities(reviews, logits).astype(np.float64)
    if reviews.independent or reviews.relative:
        found = 2 * own - 1
    else:
        none = 1 - own.sum(axis=1)
        found = own - np.maximum(_strongest_other(own), none[:, None])
    lead: Floats = found.astype(np.float32)
    return lead


def _rival(reviews: Reviews, logits: Floats) -> Floats:
    """``[n]`` or ``[n, K]``: what stands for none of these."""
    found: Floats = logits[:, reviews.labels] if logits.shape[1] > reviews.labels else reviews.other
    return found


def _strongest_other(labels: Doubles) -> Doubles:
    """``[n, K]``: for each label the strongest of the others; -inf if there is none."""
    others = np.full_like(labels, -np.inf)
    for label in range(labels.shape[1]):
        others[:, label] = np.delete(labels, label, axis=1).max(axis=1, initial=-np.inf)
    return others


def _strata(reviews: Reviews) -> Numbers:
    """``[n]``: what should be spread over the folds."""
    if not reviews.independent:
        return reviews.answers
    _, found = np.unique(reviews.answers, axis=0, return_inverse=True)
    return found.reshape(-1)


def _rights(reviews: Reviews, answers: Numbers) -> Doubles:
    """``[n]``: right answers of each image; one at most unless labels are independent."""
    right: Doubles = (answers == reviews.answers).astype(np.float64)
    if not reviews.independent:
        return right
    found: Doubles = np.where(reviews.answers == UNDECIDED, 0.0, right).sum(axis=1)
    return found


def _asked(reviews: Reviews) -> Doubles:
    """``[n]``: answers that each image has."""
    if not reviews.independent:
        return np.ones(len(reviews))
    found: Doubles = (reviews.answers != UNDECIDED).sum(axis=1).astype(np.float64)
    return found


def accuracy(reviews: Reviews, logits: Floats) -> float:
    """Share of right answers among the images that judge, weighted; NaN if none do."""
    judges, weights = reviews.judges, reviews.weights.astype(np.float64)
    asked = (weights * _asked(reviews))[judges].sum()
    return float((weights * _rights(reviews, given(reviews, logits)))[judges].sum() / asked) if asked else float("nan")


def _out_of_fold(problem: Problem, folds: Numbers, parts: Sequence[Numbers], penalty: float) -> Floats:
    """``[n, C]``: each image's logits under the head that was learned from the other folds, or a part of them."""
    found = anchors(problem.reviews, with_none=problem.with_none).copy()
    for fold, part in enumerate(parts):
        held = np.flatnonzero(folds == fold)
        found[held] = problem.fit(part, penalty=penalty).logits(problem.reviews.only(held))
    return found


def _part_of_curve(
    problem: Problem, folds: Numbers, parts: Sequence[Numbers], share: float, random: np.random.Generator
) -> CurvePoint | None:
    size = round(share * len(problem.reviews))
    if size < FOLDS:
        return None
    draws = min(max(_DRAWN // len(problem.reviews), 1), _MOST_DRAWS)
    drawn = [
        _out_of_fold(
            problem,
            folds,
            [np.sort(random.choice(part, max(round(share * len(part)), 1), replace=False)) for part in parts],
            usual_penalty(size),
        )
        for _ in range(draws)
    ]
    return _point(problem.reviews, size, drawn)


def _point(reviews: Reviews, size: int, drawn: Sequence[Floats]) -> CurvePoint:
    return CurvePoint(
        reviews=size,
        zero_shot=accuracy(reviews, reviews.base),
        head=float(np.mean([accuracy(reviews, logits) for logits in drawn])),
    )
