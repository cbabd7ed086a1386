"""What an evaluation says, and how it follows from answers and decisions. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from worker.catalog.reviewed_images import ReviewedImage
from worker.pipeline.evaluation import metrics
from worker.pipeline.evaluation.judgements import Answers, Mask, Truth, answer_about
from worker.pipeline.evaluation.metrics import Bin, Share, SignTest, share
from worker.pipeline.evaluation.sample import Design, Sample

#: Wrong tags that are named, and example images of each pair of a true label and a tag.
_OFFENDERS, _EXAMPLES = 24, 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image to show."""

    bucket: str
    key: str
    sha256: str  # of the bytes that people saw
    chosen: str  # how it came to be decided about


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelReport:
    """One label."""

    label: str
    precision: Share  # of the counted images with the tag, how many are right
    silence: Share  # of the counted images that have the label according to people, how many have no tag at all
    recall: Share | None  # None: not known, because no sample of all images was reviewed
    threshold: float | None  # None: only people give it
    suggested: bool  # whether it is not applied, because its precision is not proven


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfusionCell:
    """Images with this true label and this tag."""

    true: str | None  # None: none of the labels
    given: str | None  # None: no tag
    images: int
    examples: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorstTag:
    """A tag that is wrong although the model was sure."""

    picture: Picture
    given: str
    probability: float
    true: str | None  # None: none of the labels, or it is not known
    margin: float  # its probability, less that of the true label or of none of these


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodReport:
    """One way to tag the same images."""

    space: int
    model: str
    method: str  # zero-shot, or what is in force
    note: str  # what speaks against its numbers; empty: nothing
    images: int  # on which all methods are compared
    coverage: Share | None  # how many have a tag; None: not known
    accuracy: Share | None  # how many of these have the right one
    error: Share | None  # how many of all have a wrong one
    against_first: SignTest | None  # None: it is the first


@dataclass(frozen=True, kw_only=True, slots=True)
class AllImages:
    """With near-duplicates, which say less than so many scenes: they have no interval."""

    images: int
    tagged: int
    right: int  # of the tagged


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyReport:
    """One taxonomy."""

    taxonomy: str
    version: str
    space: int
    model: str
    method: str
    note: str
    design: Design
    decided: int  # images that people decided about
    measured: int  # of these, with a vector in the space
    drawn: int  # of these, drawn at random, or of the file
    scenes: int  # of these, counted: one of near-duplicates
    left_out: Mapping[str, int]  # how they were chosen → images that do not count
    asked: tuple[str, ...]  # labels that images were drawn for
    coverage: Share | None  # how many counted images have a tag; None: not known
    accuracy: Share | None  # how many of these are right
    all_images: AllImages | None  # None where there is no coverage
    labels: tuple[LabelReport, ...]
    reliability: tuple[Bin, ...]
    calibration_error: float | None
    confusion: tuple[ConfusionCell, ...]
    worst: tuple[WorstTag, ...]
    methods: tuple[MethodReport, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProblem:
    """A row of a file that does not count."""

    line: int
    image: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFileReport:
    """The file that the labels come from."""

    file: str
    random: bool  # whether all rows say that their images were drawn at random
    images: int
    problems: int
    examples: tuple[FileProblem, ...]  # the first problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What was measured in one moment."""

    made_at: datetime
    last_decision: int | None  # number of the newest decision; None: there are none
    spaces: tuple[int, ...]
    file: LabelFileReport | None  # None: people's decisions in the catalog
    taxonomies: tuple[TaxonomyReport, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a report says across labels."""

    coverage: Share | None
    accuracy: Share | None
    error: Share | None


def across(answers: Answers, truth: Truth, sample: Sample) -> Measured:
    """Coverage, and accuracy where it covers; nothing where images do not stand for all."""
    if not sample.images.any():
        return Measured(coverage=None, accuracy=None, error=None)
    outcomes, weights = answers.outcomes(truth), sample.weights
    judged = sample.images & outcomes.known
    return Measured(
        coverage=share(outcomes.tagged, sample.images, weights),
        accuracy=share(outcomes.right, judged & outcomes.tagged, weights),
        error=share(outcomes.wrong, judged, weights),
    )


def all_images(answers: Answers, truth: Truth, sample: Sample) -> AllImages | None:
    """Coverage and accuracy with near-duplicates."""
    if truth.by_itself or not sample.candidates.any():
        return None
    outcomes, counted = answers.outcomes(truth), sample.candidates
    return AllImages(
        images=int(counted.sum()),
        tagged=int((counted & outcomes.tagged).sum()),
        right=int((counted & outcomes.right).sum()),
    )


def labels(
    answers: Answers, truth: Truth, sample: Sample, *, thresholds: Mapping[str, float], suggested: frozenset[str]
) -> tuple[LabelReport, ...]:
    """Every label that the model can give, or that people gave."""
    return tuple(
        LabelReport(
            label=label,
            precision=metrics.precision(place, answers, truth, sample),
            silence=metrics.silence(place, answers, truth, sample),
            recall=metrics.recall(place, answers, truth, sample),
            threshold=thresholds.get(label),
            suggested=label in suggested,
        )
        for place, label in enumerate(truth.labels)
    )


def confusion(
    answers: Answers, truth: Truth, sample: Sample, images: Sequence[ReviewedImage]
) -> tuple[ConfusionCell, ...]:
    """With examples; nothing where each label is a question of its own."""
    if truth.by_itself:
        return ()
    counted: Mask = np.asarray(sample.pairs.any(axis=0))
    return tuple(
        ConfusionCell(
            true=each.true,
            given=each.given,
            images=len(each.images),
            examples=tuple(_picture(images[place]) for place in each.images[:_EXAMPLES]),
        )
        for each in metrics.confusion(answers, truth, counted)
    )


def worst(answers: Answers, truth: Truth, images: Sequence[ReviewedImage]) -> tuple[WorstTag, ...]:
    """The surest wrong tags."""
    return tuple(
        WorstTag(
            picture=_picture(images[each.image]),
            given=each.given,
            probability=each.probability,
            true=each.true,
            margin=each.margin,
        )
        for each in metrics.offenders(answers, truth, most=_OFFENDERS)
    )


def against(first: Answers, second: Answers, truth: Truth, sample: Sample) -> tuple[SignTest, int]:
    """The sign test of two methods on images where it is known whether both are right, and how many these are."""
    if truth.by_itself:
        known: Mask = sample.pairs & (truth.holds != -1)
        ours, theirs = ((each.given == (truth.holds == 1)) for each in (first, second))
    else:
        counted = sample.pairs.any(axis=0)
        one, two = first.outcomes(truth), second.outcomes(truth)
        known, ours, theirs = counted & one.comparable & two.comparable, one.agrees, two.agrees
    won, lost = int((known & theirs & ~ours).sum()), int((known & ours & ~theirs).sum())
    return metrics.sign_test(won, lost), int(known.sum())


def _picture(image: ReviewedImage) -> Picture:
    answer = answer_about(image, None)
    chosen = "" if answer is None else "random" if answer.draw is not None else answer.chosen
    return Picture(bucket=image.ref.bucket, key=image.ref.key, sha256=image.sha256, chosen=chosen)
