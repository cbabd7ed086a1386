"""Promises about precision, and heads: what is kept, beside what a user would pick instead. No database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

from bench.table import Found, Note, Row
from tests.clip_photos import CLIP_PHOTOS, labelled
from worker.pipeline.evaluation.certify import certify
from worker.tagging.heads import Reviews, fit

_DELTA = 0.05
#: Of the regression: ten times scikit-learn's default, which is too careful for vectors of unit length.
_C = 10
_REVIEWS = 250
#: Scores at which precision is known, for the truth of a threshold.
_GRID = np.linspace(0, 1, 20_001)

#: A threshold of scores from 0 to 1; None: nothing is promised.
Threshold = float | None
Chooser = Callable[[npt.NDArray[np.float64], npt.NDArray[np.bool_], float], Threshold]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What became of the promises of many runs."""

    kept: float  # share of the runs without a promise that is broken
    coverage: float  # mean share of the images that are accepted; 0 where nothing is promised


def rows(*, runs: int, draws: int) -> Iterator[Found]:
    """Thresholds over simulated reviews with fixed seeds, then heads over published CLIP vectors."""
    yield from _certificates(runs)
    if CLIP_PHOTOS.is_dir():
        yield from _heads(draws)
    else:
        yield Note(sentence="heads were not compared: there are no CLIP vectors beside the checkout")


# -- thresholds --------------------------------------------------------------------------------------------------------
def right(score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How often a label with this score is right: from .55 up to .99."""
    return 0.99 - 0.44 * (1 - score) ** 2


def ours(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], target: float) -> Threshold:
    return certify(scores, truth, target=target, delta=_DELTA).threshold


def loosest(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], target: float) -> Threshold:
    """The loosest threshold that reaches the target on the reviews."""
    precision, _, thresholds = precision_recall_curve(truth, scores)
    reached = np.flatnonzero(precision[:-1] >= target)
    return float(thresholds[reached[0]]) if len(reached) else None


def platt(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], target: float) -> Threshold:
    """Platt scaling, and the loosest threshold above which the mean probability reaches the target."""
    if truth.all():
        return float(scores.min())
    model = LogisticRegression(C=1e6).fit(scores[:, np.newaxis], truth)
    chances = model.predict_proba(_GRID[:, np.newaxis])[:, 1]
    means = np.cumsum(chances[::-1])[::-1] / np.arange(len(_GRID), 0, -1)
    reached = np.flatnonzero(means >= target)
    return float(_GRID[reached[0]]) if len(reached) else None


def kept(choose: Chooser, target: float, runs: int) -> Kept:
    """Over ``runs`` samples of the same collection, with the seeds 0, 1, …."""
    above = np.cumsum(right(_GRID)[::-1])[::-1] / np.arange(len(_GRID), 0, -1)  # precision above each score
    reached = _GRID[above >= target].min(initial=1.0)  # the loosest threshold that keeps the promise
    good, coverage = 0, 0.0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        scores = random.random(_REVIEWS)
        threshold = choose(scores, random.random(_REVIEWS) < right(scores), target)
        if threshold is None:
            good += 1
            continue
        good += threshold >= reached
        coverage += 1 - threshold
    return Kept(kept=good / runs, coverage=coverage / runs)


def _certificates(runs: int) -> Iterator[Found]:
    for target in (0.9, 0.95):
        own = kept(ours, target, runs)
        for name, choose in (("loosest with that precision on the reviews", loosest), ("Platt scaling", platt)):
            other = kept(choose, target, runs)
            yield Row(
                what=f"promise of {target:g} kept, {_REVIEWS} reviews, {runs} runs", unit="%", ours=100 * own.kept,
                other=name, theirs=100 * other.kept, goal=1,
            )  # fmt: skip
            yield Row(
                what=f"images accepted at {target:g}, promise kept or not", unit="%", ours=100 * own.coverage,
                other=name, theirs=100 * other.coverage,
            )  # fmt: skip


# -- heads -------------------------------------------------------------------------------------------------------------
def _heads(draws: int) -> Iterator[Found]:
    for question in ("time", "setting"):
        photos = labelled(question)
        for size in (16, 40, 100):
            found = np.array([_compared(photos, size, seed) for seed in range(draws)])
            head, regression, zero_shot, fitted, theirs = found.mean(axis=0)
            what = f"CLIP, {question}: accuracy after {size} reviews, {draws} draws"
            yield Row(
                what=what,
                unit="%",
                ours=100 * head,
                other=f"scikit-learn's LogisticRegression, C = {_C}",
                theirs=100 * regression,
                goal=1,
            )
            yield Row(what=what, unit="%", ours=100 * head, other="zero-shot", theirs=100 * zero_shot, goal=1)
        yield Row(
            what=f"CLIP, {question}: a head from {size} reviews", unit="ms", ours=1_000 * fitted,
            other=f"scikit-learn's LogisticRegression, C = {_C}", theirs=1_000 * theirs, less_is_better=True,
        )  # fmt: skip


def _compared(photos: Reviews, size: int, seed: int) -> tuple[float, float, float, float, float]:
    """Accuracy of a head, of a regression and of zero-shot on what was not drawn; seconds of both fits."""
    order = np.random.default_rng(seed).permutation(len(photos))
    some, others = photos.only(order[:size]), photos.only(order[size:])
    begun = time.perf_counter()
    head = fit(some)
    between = time.perf_counter()
    regression = LogisticRegression(C=_C, max_iter=5_000).fit(some.vectors, some.answers)
    ended = time.perf_counter()
    return (
        float((head.logits(others).argmax(axis=1) == others.answers).mean()),
        float((regression.predict(others.vectors) == others.answers).mean()),
        float((others.base.argmax(axis=1) == others.answers).mean()),
        between - begun,
        ended - between,
    )
