"""Numbers that say how right tags are, each with how many images it rests on. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, bdtrc  # scipy.stats has the same, and takes seconds to import

from worker.pipeline.common.estimates import wilson
from worker.pipeline.evaluation.judgements import UNKNOWN, Answers, Mask, Truth, deepest
from worker.pipeline.evaluation.sample import Sample, Weights, effective
from worker.types import Floats

#: Probabilities that are compared with how many tags are right. Most are high, and there it matters.
_EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share of images, with a 95 % interval (Wilson)."""

    seen: int
    of: int
    share: float | None  # None: of no image
    low: float
    high: float
    weighted: bool  # whether images stand for different numbers of others, so that it is not seen / of

    def __str__(self) -> str:
        return f"{self.seen}/{self.of}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """The most probable labels whose probability is in a range."""

    low: float
    high: float
    mean: float  # of their probabilities
    right: Share


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Images with a true label that have another tag, or the same."""

    true: str | None  # None: none of the labels
    given: str | None  # None: no tag
    images: tuple[int, ...]  # places


@dataclass(frozen=True, kw_only=True, slots=True)
class Offender:
    """A tag that is wrong although the model was sure."""

    image: int  # place
    given: str
    probability: float
    true: str | None  # None: none of these, or it is not known
    margin: float  # its probability less that of the true label


def share(seen: Mask, of: Mask, weights: Weights | None = None) -> Share:
    """The share of the images ``of`` that are ``seen``.

    With weights it is Hájek's estimate, and the interval that of as many images as they are worth.
    """
    count, both = int(of.sum()), int((seen & of).sum())
    weighted = weights is not None and len(np.unique(np.round(weights[of], 9))) > 1
    if not count:
        return Share(seen=0, of=0, share=None, low=0.0, high=1.0, weighted=False)
    found = both / count
    if weighted and weights is not None:
        found = float(weights[of & seen].sum() / weights[of].sum())
    low, high = wilson(found, effective(weights if weighted else None, of))
    return Share(seen=both, of=count, share=found, low=low, high=high, weighted=weighted)


def precision(place: int, answers: Answers, truth: Truth, sample: Sample) -> Share:
    """How many of the tags with one label are right.

    Unweighted where all images were drawn for this label, or from all images with the same chance.
    Images that were drawn for a label by another scoring do not count.
    """
    of = answers.given[place] & sample.pairs[place] & ~sample.outdated[place] & (truth.holds[place] != UNKNOWN)
    label = truth.labels[place]
    fair = sample.of_everything is None and all(
        sample.everything[image] or sample.asked[image] in (label, None) for image in np.flatnonzero(of).tolist()
    )
    weights = None if fair or sample.weights is None else sample.weights
    if weights is not None:
        of &= sample.images
    return share(truth.holds[place] == 1, of, weights)


def recall(place: int, answers: Answers, truth: Truth, sample: Sample) -> Share | None:
    """How many of the images with a label have the tag; None: nobody looked at a sample of all images."""
    of = sample.everything & sample.pairs[place] & (truth.holds[place] == 1)
    return share(answers.given[place], of, sample.of_everything) if sample.everything.any() else None


def silence(place: int, answers: Answers, truth: Truth, sample: Sample) -> Share:
    """How many of the images that have a label according to people, and count, have no tag of the taxonomy."""
    tagged: Mask = np.asarray(answers.given.any(axis=0))
    of = sample.pairs[place] & (truth.holds[place] == 1)
    if sample.of_everything is not None:
        of &= sample.images
    return share(~tagged, of, sample.of_everything)


def reliability(answers: Answers, truth: Truth, sample: Sample) -> tuple[Bin, ...]:
    """Whether probabilities mean what they say; bins without images are left out.

    Of each image the most probable label at the top, tag or not; where labels are judged one by one, every label.
    """
    chance, right, weights = _questions(answers, truth, sample)
    return tuple(_bins(chance, right, weights))


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """The mean difference between probabilities and the share that is right, over images (expected calibration error).

    M. P. Naeini, G. F. Cooper and M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015.
    """
    total = sum(each.right.of for each in bins)
    if not total:
        return None
    return sum(each.right.of * abs(each.mean - (each.right.share or 0.0)) for each in bins) / total


def confusion(answers: Answers, truth: Truth, counted: Mask) -> tuple[Cell, ...]:
    """Which labels are taken for which others, lowest labels only; the largest cells first."""
    true, given = deepest(truth, truth.holds == 1), deepest(truth, answers.given)
    cells: dict[tuple[str | None, str | None], list[int]] = {}
    for image in np.flatnonzero(counted & truth.whole).tolist():
        cells.setdefault((true[image], given[image]), []).append(image)
    found = [Cell(true=key[0], given=key[1], images=tuple(images)) for key, images in cells.items()]
    return tuple(sorted(found, key=lambda each: (-len(each.images), each.true or "", each.given or "")))


def offenders(answers: Answers, truth: Truth, *, most: int) -> tuple[Offender, ...]:
    """The tags that are wrong and surest: the probability of the tag, less that of the true label.

    Where no label holds, or it is not known which, less what is left for none of these. Of all images, however they
    were chosen: this is a list to look at, and no estimate.
    """
    places, images = np.nonzero(answers.given & (truth.holds == 0))
    true = deepest(truth, truth.holds == 1)
    names = {label: place for place, label in enumerate(truth.labels)}
    found: dict[int, Offender] = {}
    for place, image in zip(places.tolist(), images.tolist(), strict=True):
        chance = float(answers.chance[place, image])
        rival = true[image]
        same_level = rival is not None and not truth.by_itself and truth.parents[names[rival]] == truth.parents[place]
        against = float(answers.chance[names[rival], image]) if same_level and rival is not None else 1 - chance
        each = Offender(image=image, given=truth.labels[place], probability=chance, true=rival, margin=chance - against)
        if image not in found or each.margin > found[image].margin:
            found[image] = each
    return tuple(sorted(found.values(), key=lambda each: (-each.margin, each.image))[:most])


@dataclass(frozen=True, kw_only=True, slots=True)
class SignTest:
    """Which of two methods is right more often, on images about which they differ."""

    won: int  # right by the second only
    lost: int  # right by the first only
    better: float  # probability of so many wins or more, if none is better
    differ: float  # of so uneven a result in either direction


def sign_test(won: int, lost: int) -> SignTest:
    """The exact sign test (McNemar's on the discordant pairs)."""
    total = won + lost
    better = float(bdtrc(won - 1, total, 0.5)) if total else 1.0
    differ = min(2 * float(bdtr(min(won, lost), total, 0.5)), 1.0) if total else 1.0
    return SignTest(won=won, lost=lost, better=better, differ=differ)


def _questions(answers: Answers, truth: Truth, sample: Sample) -> tuple[Floats, Mask, Weights | None]:
    """Probabilities that count, whether their labels hold, and their weights."""
    if truth.by_itself:
        places, images = np.nonzero(sample.pairs & ~sample.outdated & (truth.holds != UNKNOWN))
        top = np.isin(places, truth.top)
        places, images = places[top], images[top]
        return answers.chance[places, images], truth.holds[places, images] == 1, None
    if not len(truth.top):
        return np.empty(0, dtype=np.float32), np.empty(0, dtype=bool), None
    images = np.flatnonzero(sample.images)
    best = truth.top[answers.chance[np.ix_(truth.top, images)].argmax(axis=0)] if len(images) else images
    known = truth.holds[best, images] != UNKNOWN
    best, images = best[known], images[known]
    weights = None if sample.weights is None else sample.weights[images]
    return answers.chance[best, images], truth.holds[best, images] == 1, weights


def _bins(chance: Floats, right: Mask, weights: Weights | None) -> Iterator[Bin]:
    numbers = np.clip(np.digitize(chance, _EDGES) - 1, 0, len(_EDGES) - 2)
    for number in np.unique(numbers).tolist():
        own = numbers == number
        mean = np.average(chance[own], weights=None if weights is None else weights[own])
        yield Bin(low=_EDGES[number], high=_EDGES[number + 1], mean=float(mean), right=share(right, own, weights))
