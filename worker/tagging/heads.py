"""Learned heads: text-anchored logistic regression, whose result is a move for the rows of each label.

A head adds one vector ``m_k`` to every row of the label k. The nearest row stays the nearest, because all rows of a
label move alike, so the logit of a label becomes its zero-shot logit plus ``factor × (f · m_k)``, and the code that
decides needs no change. With ``scale`` the median factor and ``D = scale × m``:

    logit_k = base_k + (factor / scale) × (f · D_k)

D minimises the sum of weighted cross-entropies plus ``λ/2 ‖D‖²``, from D = 0, without an intercept and without class
weights. Both were measured: an intercept learns the class mix of the reviewed sample, and class weights pay for
balanced accuracy with accuracy. Without reviews the head is exactly zero-shot, and few reviews move it a little; this
is the penalty of CLAP (J. Silva-Rodríguez et al., A closer look at the few-shot adaptation of large vision-language
models, CVPR 2024) with a fixed strength. The problem is convex; L-BFGS solves it in the space that the reviewed vectors
span, which contains the solution.

With ``multi-label`` each label is a binary logistic regression of its own against its fixed rival.

Zero-shot that is wrong and sure of it would be held to be right by the penalty. So all logits are first multiplied by
the number up to 1 that makes the answers likeliest (temperature scaling; Guo et al., On calibration of modern neural
networks, ICML 2017), with a prior that keeps few reviews near 1. That changes how far rows move, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from worker.types import Floats

Doubles: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.intp]

#: In place of an answer about a label of a ``multi-label`` taxonomy: nobody decided.
UNDECIDED = -1

#: Strength of the penalty, for fewer decisions than ``MANY`` and from there on (the study's figures are in the docs).
PENALTY, PENALTY_OF_MANY, MANY = 1.0, 0.3, 100

#: "None of these" is learned as a row of its own from so many decisions, where a taxonomy has no rival to its labels.
NONE_DECISIONS = 4

#: Rows have unit length, and moved ones must stay shorter than 1.9: below 2, with the rounding of stored vectors,
#: sums of products are exact (``exact_similarity``).
LONGEST_MOVE = 0.9

#: Largest component of the gradient where the solver stops; in coordinates of about unit curvature, so it is about
#: the distance from the solution, too.
_TOLERANCE = 1e-5
_ITERATIONS = 2000
#: Of a cross-entropy, per image, as a typical value.
_CURVATURE = 0.05
#: Logits are multiplied by this at least.
_SOFTEST = 0.05
#: Share of the largest squared length below which an axis is rounding.
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reviews:
    """What people decided about n images, with what zero-shot makes of their vectors; K labels at the top."""

    vectors: Floats  # [n, d], unit length
    factor: Floats  # [n], what cosines are multiplied by
    base: Floats  # [n, K], zero-shot logits: factor × cosine of the nearest row
    other: Floats  # [n], logit of the fixed rival (background, neutral level), or -inf; [n, K] if ``independent``
    answers: Numbers  # [n]: 0..K-1, or K: none of these. [n, K] if ``independent``: 1, 0 or UNDECIDED
    weights: Floats  # [n], any unit: only their ratios count
    clusters: Numbers  # [n]: near-duplicates have the same number; they share a fold, and count once
    judges: Flags  # [n]: drawn at random, so it may judge a head; others only train
    anchor: Floats | None = None  # [n], logit of the mean of the labels' rows: where a row for "none" starts
    independent: bool = False  # labels do not compete: ``multi-label``
    relative: bool = False  # probabilities are against the strongest rival, as with neutral prompts

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def labels(self) -> int:
        """K."""
        return int(self.base.shape[1])

    def only(self, chosen: npt.NDArray[np.intp]) -> Reviews:
        """Some of the images."""
        arrays = ("vectors", "factor", "base", "other", "answers", "weights", "clusters", "judges")
        anchor = None if self.anchor is None else self.anchor[chosen]
        return replace(self, anchor=anchor, **{name: getattr(self, name)[chosen] for name in arrays})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fitted:
    """A head: what is added to all rows of each label."""

    moves: Floats  # [K, d], or [K + 1, d] with a row for "none" at the end
    penalty: float  # λ
    decisions: int  # it was learned from
    with_none: bool  # the last row is added to the mean of the labels' rows, and stands for none of these

    def logits(self, reviews: Reviews) -> Floats:
        """``[n, K]`` or ``[n, K + 1]``: of images under this head."""
        moved = reviews.factor[:, None] * (reviews.vectors @ self.moves.T)
        return (anchors(reviews, with_none=self.with_none) + moved).astype(np.float32)


def fit(reviews: Reviews, *, penalty: float | None = None) -> Fitted:
    """Learn a head.

    Args:
        reviews: n ≥ 0 images.
        penalty: λ; None: 1, or 0.3 from 100 decisions on. It is raised where rows would move too far.

    Raises:
        ValueError: shapes do not fit, or numbers are not finite.
    """
    return Problem(reviews).fit(penalty=penalty)


def usual_penalty(decisions: int) -> float:
    """The λ for so many decisions."""
    return PENALTY if decisions < MANY else PENALTY_OF_MANY


def learns_none(reviews: Reviews) -> bool:
    """Whether "none of these" gets a row of its own: nothing else stands for it, and enough images were none."""
    return (
        not reviews.independent
        and reviews.anchor is not None
        and not np.isfinite(reviews.other).any()
        and int((reviews.answers == reviews.labels).sum()) >= NONE_DECISIONS
    )


def anchors(reviews: Reviews, *, with_none: bool) -> Floats:
    """``[n, K]`` or ``[n, K + 1]``: the logits that a head starts from."""
    if not with_none:
        return reviews.base
    assert reviews.anchor is not None  # noqa: S101  # see ``learns_none``
    return np.column_stack([reviews.base, reviews.anchor])


class Problem:
    """Reviews made ready for fitting, once for any number of fits to parts of them."""

    def __init__(self, reviews: Reviews) -> None:
        _check(reviews)
        self.reviews = reviews
        self.with_none = learns_none(reviews)
        positive = reviews.factor[reviews.factor > 0]
        self.scale = float(np.median(positive)) if len(positive) else 1.0
        scaled = reviews.vectors.astype(np.float64) * (reviews.factor.astype(np.float64) / self.scale)[:, None]
        self._points, self._axes, self._squares = _principal(scaled)
        self._anchors = np.ascontiguousarray(anchors(reviews, with_none=self.with_none).astype(np.float64).T)
        self._other = np.ascontiguousarray(reviews.other.astype(np.float64).T)

    def fit(self, among: Numbers | None = None, *, penalty: float | None = None) -> Fitted:
        """Learn from some of the images (None: all); see ``fit``."""
        chosen = np.arange(len(self.reviews)) if among is None else among
        strength = usual_penalty(len(chosen)) if penalty is None else penalty
        moves = self._moves(chosen, strength)
        while np.linalg.norm(moves, axis=1).max(initial=0) > LONGEST_MOVE:
            strength *= 2
            moves = self._moves(chosen, strength)
        found = moves.astype(np.float32)
        return Fitted(moves=found, penalty=strength, decisions=len(chosen), with_none=self.with_none)

    def _moves(self, chosen: Numbers, penalty: float) -> Doubles:
        solve = self._independent if self.reviews.independent else self._exclusive
        # Coordinates in which the problem is about as steep in every direction: a fifth of the steps.
        stretch = 1 / np.sqrt(penalty + _CURVATURE * self._squares * (len(chosen) / max(len(self.reviews), 1)))
        solved = solve(chosen, self._points[:, chosen] * stretch[:, None], penalty * np.square(stretch))
        found: Doubles = (solved * stretch) @ self._axes / self.scale
        return found

    def _exclusive(self, chosen: Numbers, points: Doubles, penalty: Doubles) -> Doubles:
        """``[C, r]``: D, divided by what its logits were multiplied by."""
        other, answers = self._other[chosen], self.reviews.answers[chosen]
        # Where nothing stands for "none of these", such an answer teaches nothing.
        kept = self.with_none | np.isfinite(other) | (answers < self.reviews.labels)
        loss = SoftmaxLoss(
            points=points[:, kept],
            anchors=self._anchors[:, chosen[kept]],
            other=other[kept],
            answers=answers[kept],
            weights=_normalised(self.reviews.weights[chosen[kept]]),
            penalty=penalty,
        )
        soft, softness = loss.softened()
        return _solved(soft, len(self._anchors), len(points)) / softness

    def _independent(self, chosen: Numbers, points: Doubles, penalty: Doubles) -> Doubles:
        """``[K, r]``, as ``_exclusive``."""
        rows = [np.zeros((0, len(points)))]
        for label in range(self.reviews.labels):
            answers, other = self.reviews.answers[chosen, label], self._other[label, chosen]
            kept = (answers != UNDECIDED) & np.isfinite(other)
            loss = SigmoidLoss(
                points=points[:, kept],
                lead=self._anchors[label, chosen[kept]] - other[kept],
                answers=answers[kept].astype(np.float64),
                weights=_normalised(self.reviews.weights[chosen[kept]]),
                penalty=penalty,
            )
            soft, softness = loss.softened()
            rows.append(_solved(soft, 1, len(points)) / softness)
        return np.concatenate(rows)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SoftmaxLoss:
    """Σ weight × cross-entropy + Σ penalty/2 × D², among labels that exclude each other."""

    points: Doubles  # [r, n]
    anchors: Doubles  # [C, n]
    other: Doubles  # [n], logit of the fixed rival, or -inf
    answers: Numbers  # [n]: 0..C-1, or C: the fixed rival
    weights: Doubles  # [n]
    penalty: Doubles  # [r], λ of each coordinate

    def __call__(self, flat: Doubles) -> tuple[float, Doubles]:
        """Value and gradient, for D of ``[C, r]`` as one vector."""
        moves = flat.reshape(len(self.anchors), -1)
        logits = np.vstack([self.anchors + moves @ self.points, self.other])
        logits -= logits.max(axis=0)
        chances = np.exp(logits)
        sums = chances.sum(axis=0)
        images = np.arange(len(sums))
        losses = np.log(sums) - logits[self.answers, images]
        chances /= sums
        chances[self.answers, images] -= 1
        chances *= self.weights
        pulled = self.penalty * moves
        value = self.weights @ losses + (pulled * moves).sum() / 2
        return float(value), (chances[:-1] @ self.points.T + pulled).ravel()

    def softened(self) -> tuple[SoftmaxLoss, float]:
        """With the likeliest zero-shot logits, and what they were multiplied by."""
        logits = np.vstack([self.anchors, self.other])
        logits -= logits.max(axis=0)
        chosen = logits[self.answers, np.arange(logits.shape[1])]
        softness = _softness(lambda by: np.log(np.exp(by * logits).sum(axis=0)) - by * chosen, self.weights)
        return replace(self, anchors=softness * self.anchors, other=softness * self.other), softness


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SigmoidLoss:
    """The same for one label that holds or does not."""

    points: Doubles  # [r, n]
    lead: Doubles  # [n], logit of the label less that of its rival
    answers: Doubles  # [n], 1 or 0
    weights: Doubles  # [n]
    penalty: Doubles  # [r], λ of each coordinate

    def __call__(self, move: Doubles) -> tuple[float, Doubles]:
        """Value and gradient, for D of ``[r]``."""
        logits = self.lead + move @ self.points
        losses = np.logaddexp(0, logits) - self.answers * logits
        pulled = self.penalty * move
        gradient = self.points @ (self.weights * (expit(logits) - self.answers)) + pulled
        return float(self.weights @ losses + pulled @ move / 2), gradient

    def softened(self) -> tuple[SigmoidLoss, float]:
        """With the likeliest zero-shot logits, and what they were multiplied by."""
        lead, answers = self.lead, self.answers
        softness = _softness(lambda by: np.logaddexp(0, by * lead) - answers * by * lead, self.weights)
        return replace(self, lead=softness * lead), softness


def _softness(losses: Callable[[float], Doubles], weights: Doubles) -> float:
    """The factor up to 1 that makes answers likeliest; its logarithm has the standard normal distribution as prior."""

    def loss(log: float) -> float:
        return float(weights @ losses(float(np.exp(log)))) + log**2 / 2

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(_SOFTEST), 0), method="bounded").x))


def _solved(loss: Callable[[Doubles], tuple[float, Doubles]], rows: int, width: int) -> Doubles:
    start = np.zeros(rows * width)
    if not start.size:
        return start.reshape(rows, width)
    options = {"maxiter": _ITERATIONS, "maxfun": 2 * _ITERATIONS, "ftol": 0, "gtol": _TOLERANCE, "maxcor": 20}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    solved: Doubles = found.x.reshape(rows, width)
    return solved


def _principal(points: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Principal axes of n points ``[n, d]``: coordinates ``[r, n]``, orthonormal axes ``[r, d]``, squares ``[r]``.

    They span all points but for rounding; directions in which no point lies would not move anyway.
    """
    wide = len(points) < points.shape[1]
    squares, axes = np.linalg.eigh(points @ points.T if wide else points.T @ points)
    kept = squares > _NEGLIGIBLE * squares.max(initial=0)
    squares, axes = squares[kept], axes[:, kept].T
    if wide:
        lengths = np.sqrt(squares)[:, None]
        return lengths * axes, (axes @ points) / lengths, squares
    return np.ascontiguousarray(axes @ points.T), axes, squares


def _normalised(weights: Floats) -> Doubles:
    as_doubles = weights.astype(np.float64)
    return as_doubles / as_doubles.mean() if len(as_doubles) else as_doubles


def _check(reviews: Reviews) -> None:
    count, labels = reviews.base.shape
    wide = (count, labels) if reviews.independent else (count,)
    expected = {
        "vectors": (count, reviews.vectors.shape[-1]),
        "factor": (count,),
        "other": wide,
        "answers": wide,
        "weights": (count,),
        "clusters": (count,),
        "judges": (count,),
    }
    for name, shape in expected.items():
        if getattr(reviews, name).shape != shape:
            raise ValueError(f"{name} must have shape {shape}, not {getattr(reviews, name).shape}")
    for name in ("vectors", "factor", "base", "weights"):
        if not np.isfinite(getattr(reviews, name)).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    if count and not (reviews.weights > 0).all():
        raise ValueError("weights must be positive")
