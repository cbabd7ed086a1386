"""Which reviewed images may judge a model, and for how many images each of them stands. Pure arithmetic.

Only images that were drawn at random may: those that people picked, found or confirmed in bulk say little about the
others. Of near-duplicates one counts, because they are right or wrong together.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from worker.catalog.decisions import Chosen
from worker.catalog.reviewed_images import Draw, PersonAnswer, ReviewedImage
from worker.pipeline.evaluation.judgements import Mask, Places, Truth, answer_about
from worker.pipeline.evaluation.pools import LOWER

Weights = npt.NDArray[np.float64]

#: So many images of a plan about everything are preferred to those of plans about labels.
_ENOUGH = 30
#: What rows of a file say of images that were not chosen because of what a model says of them, as far as is known.
_OF_A_TEST_SET = frozenset({Chosen.RANDOM.value, Chosen.IMPORT.value})


class Design(enum.StrEnum):
    """How the images that count were drawn. The words are an interface."""

    EVERYTHING = "everything"  # at random from all images, by plans about the whole taxonomy
    BY_LABEL = "by-label"  # at random within labels: weighted to stand for all images of these labels
    DECLARED = "declared"  # at random, as those say who recorded the decisions; from what is not known
    FILE = "file"  # the images of a file; it is not known how they were chosen
    UNKNOWN = "unknown"  # at random, with different chances that are not known: nothing is said across labels
    ONE_BY_ONE = "one-by-one"  # each label is a question of its own: nothing is said across labels
    NONE = "none"  # nothing was drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What counts."""

    design: Design
    candidates: Mask  # [n], images that were drawn, or belong to a test set, with near-duplicates
    pairs: Mask  # [labels, n], answers that count for a label
    images: Mask  # [n], those that count across labels
    weights: Weights | None  # [n], for how many images each stands; None: all for the same number
    everything: Mask  # [n], drawn from all images: only they say what is missed
    outdated: Mask  # [labels, n], drawn for a label by another scoring: they say nothing about precision
    asked: Sequence[str | None]  # [n], the label that it was drawn for; None: unknown
    labels: tuple[str, ...]  # that images were drawn for
    scenes: int  # of the candidates, without near-duplicates
    left_out: Mapping[str, int]  # how they were chosen → images that do not count

    @property
    def of_everything(self) -> Weights | None:
        """The weights of images drawn from all, if some of these were drawn with a lower probability than others."""
        return self.weights if self.design is Design.EVERYTHING else None


def sample(
    images: Sequence[ReviewedImage],
    truth: Truth,
    scenes: Places,
    *,
    test_set: bool = False,
    alike: Callable[[Draw], bool] = lambda _: True,
) -> Sample:
    """Find what counts.

    Args:
        images: with their answers.
        truth: the same.
        scenes: ``[n]``, the same number for near-duplicates.
        test_set: whether they come from a file, where also those count of which it is not known how they were chosen.
        alike: whether a draw was made by the scoring that is measured, or from all images.
    """
    answers = [answer_about(image, None) for image in images]
    draws = [None if each is None else each.draw for each in answers]
    counts = np.array([_counts(each, test_set=test_set) for each in answers], dtype=bool)
    outdated = np.array([each is not None and not alike(each) for each in draws], dtype=bool)
    firsts = _one_of_each(counts, scenes, draws, outdated)
    everything = np.array([each is not None and each.everything for each in draws], dtype=bool) & firsts
    rows = (len(truth.labels), 1)
    apart = _outdated(images, truth, alike) if truth.by_itself else np.tile(outdated, rows)
    pairs = _pairs(images, truth, scenes, apart, test_set=test_set) if truth.by_itself else np.tile(firsts, rows)
    design, counted, weights = _design(draws, firsts, everything, truth, outdated)
    return Sample(
        design=Design.FILE if design is Design.UNKNOWN and test_set else design,
        candidates=counts,
        pairs=pairs,
        images=counted,
        weights=weights,
        everything=firsts if test_set and design is not Design.BY_LABEL else everything,
        outdated=apart,
        asked=[None if each is None else each.asked for each in draws],
        labels=tuple(sorted({each.asked for each in draws if each and each.asked and not each.everything})),
        scenes=int(firsts.sum()),
        left_out=Counter(
            each.chosen for each, counted in zip(answers, counts, strict=True) if each is not None and not counted
        ),
    )


def may_count(images: Sequence[ReviewedImage], *, test_set: bool = False) -> Mask:
    """``[n]``: images of which an answer may count."""
    return np.array([any(_counts(each, test_set=test_set) for each in image.answers) for image in images], dtype=bool)


def effective(weights: Weights | None, mask: Mask) -> float:
    """How many equally weighted images say as much as these (L. Kish, Survey Sampling, 1965)."""
    if weights is None:
        return float(mask.sum())
    own = weights[mask]
    return float(own.sum() ** 2 / (own**2).sum()) if len(own) else 0.0


def stratified(draws: Sequence[Draw]) -> Weights | None:
    """For how many scenes each drawn one stands (Horvitz and Thompson, JASA 47, 1952); None: the chances are unknown.

    Images are drawn within labels. That only some of a plan are reviewed yet, the first ones of a random order, lowers
    the chance of each. Several plans about one label stand for the same images, so they share them.
    """
    chances = [each.of_scene for each in draws]
    if all(each is None for each in chances):
        return np.ones(len(draws)) if len({each.asked for each in draws}) <= 1 else None
    if any(each is None for each in chances):
        return None
    reviewed = Counter(each.plan for each in draws)
    weights = np.array(
        [
            (each.frame / reviewed[each.plan] if each.frame and each.plan is not None else 1.0) / (each.of_scene or 1.0)
            for each in draws
        ]
    )
    totals: dict[str | None, dict[int | None, float]] = {}
    for each, weight in zip(draws, weights, strict=True):
        of_label = totals.setdefault(each.asked, {})
        of_label[each.plan] = of_label.get(each.plan, 0.0) + float(weight)
    shares = [max(totals[each.asked].values()) / sum(totals[each.asked].values()) for each in draws]
    scaled: Weights = weights * np.array(shares)
    return scaled


def _design(
    draws: Sequence[Draw | None], firsts: Mask, everything: Mask, truth: Truth, outdated: Mask
) -> tuple[Design, Mask, Weights | None]:
    """How the images across labels were drawn, which ones count there, and their weights."""
    nothing = np.zeros(len(firsts), dtype=bool)
    if truth.by_itself:
        return Design.ONE_BY_ONE, nothing, None
    if not firsts.any():
        return Design.NONE, nothing, None
    by_label = firsts & ~everything & ~outdated
    own = [each for each, counted in zip(draws, by_label, strict=True) if counted and each is not None]
    asked = {each.asked for each in own}
    if everything.any() and (everything.sum() >= _ENOUGH or not {truth.labels[top] for top in truth.top} <= asked):
        return Design.EVERYTHING, everything, _uneven(draws, everything)
    if len(own) < by_label.sum():  # of a test set
        return Design.FILE, firsts, None
    declared = bool(own) and all(each.plan is None and each.probability is None for each in own)
    found = None if declared or not own else stratified(own)  # none: all were drawn by another scoring
    if found is None:
        return (Design.DECLARED, by_label, None) if declared else (Design.UNKNOWN, nothing, None)
    weights = np.zeros(len(firsts))
    weights[by_label] = found
    return Design.BY_LABEL, by_label, weights


def _uneven(draws: Sequence[Draw | None], everything: Mask) -> Weights | None:
    """Weights of images drawn from all; None: those of each plan were drawn with much the same probability.

    They were not if the vectors of only some images without a label were read.
    """
    own = [each for each, counted in zip(draws, everything, strict=True) if counted and each is not None]
    chances: dict[int | None, list[float]] = {}
    for each in own:
        if each.of_scene is not None:
            chances.setdefault(each.plan, []).append(each.of_scene)
    if all(min(each) >= LOWER * max(each) for each in chances.values()):
        return None
    found = stratified([replace(each, asked=None) for each in own])  # whatever the label, from the same images
    if found is None:
        return None
    weights = np.zeros(len(everything))
    weights[everything] = found
    return weights


def _pairs(images: Sequence[ReviewedImage], truth: Truth, scenes: Places, outdated: Mask, *, test_set: bool) -> Mask:
    """Where each label is a question of its own, an image may have been drawn for one of them and not for another."""
    found = np.zeros(truth.holds.shape, dtype=bool)
    for place, label in enumerate(truth.labels):
        answers = [answer_about(image, label) for image in images]
        counts = np.array([_counts(each, test_set=test_set) for each in answers], dtype=bool)
        draws = [None if each is None else each.draw for each in answers]
        found[place] = _one_of_each(counts, scenes, draws, outdated[place])
    return found


def _outdated(images: Sequence[ReviewedImage], truth: Truth, alike: Callable[[Draw], bool]) -> Mask:
    found = np.zeros(truth.holds.shape, dtype=bool)
    for place, label in enumerate(truth.labels):
        answers = [answer_about(image, label) for image in images]
        found[place] = [each is not None and each.draw is not None and not alike(each.draw) for each in answers]
    return found


def _counts(answer: PersonAnswer | None, *, test_set: bool) -> bool:
    return answer is not None and (answer.draw is not None or (test_set and answer.chosen in _OF_A_TEST_SET))


def _one_of_each(counts: Mask, scenes: Places, draws: Sequence[Draw | None], outdated: Mask) -> Mask:
    """The image of each scene that was decided about first: not one that was chosen because it is right or wrong.

    Images drawn by another scoring come last.
    """
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda place: (outdated[place], _first(draws[place]), place))
    found = np.zeros(len(counts), dtype=bool)
    found[list(_unseen(order, scenes))] = True
    return found


def _unseen(order: Sequence[int], scenes: Places) -> Iterator[int]:
    seen: set[int] = set()
    for place in order:
        if scenes[place] not in seen:
            seen.add(int(scenes[place]))
            yield place


def _first(draw: Draw | None) -> int:
    return 0 if draw is None else draw.decision
