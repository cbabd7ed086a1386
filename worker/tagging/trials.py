"""What one taxonomy would say about a sample: histograms, and the images at the ends and at the thresholds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from worker.tagging.decisions import Decisions, joined
from worker.tagging.label_probabilities import LabelScores, scored
from worker.tagging.matrix import NONE, Indices, LabelMatrix
from worker.tagging.tagger import Tagger
from worker.types import Floats

#: Equal bins between 0 and 1; 1 itself is in the last one.
BINS = 40

_CHUNK = 2_048


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TriedImages:
    """k images and their probabilities of one label."""

    images: Indices  # [k], rows of the sample
    probability: Floats  # [k]
    similarity: Floats  # [k], cosine of the label's nearest row
    holds: npt.NDArray[np.bool_]  # [k], whether the label is decided there, as a tag or as a suggestion


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Strips:
    """A few images of a label. The four may overlap where the sample is small."""

    best: TriedImages  # likeliest first
    above: TriedImages  # at or above the threshold, nearest to it first
    below: TriedImages  # below the threshold, nearest to it first
    worst: TriedImages  # least likely first


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelTrial:
    """What a sample says about one label.

    A child competes only where its parent holds, so only these images are counted.
    """

    label: str
    parent: str | None
    threshold: float
    asked: int  # images for which the label is a candidate
    histogram: tuple[int, ...]  # [BINS], of them, by probability
    above: int  # of them, at or above the threshold; not all are tagged: another label or the margin may prevent it
    tagged: int
    suggested: int  # decided, but not applied until its precision is proven
    strips: Strips | None  # None: not asked for


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trial:
    """What one taxonomy would say about n images."""

    images: int  # n
    asked: int  # images to which the taxonomy applies
    tagged: int  # images that would get one label or more
    suggested: int  # images without a label that would get a suggestion
    labels: tuple[LabelTrial, ...]  # parents before children, sorted by name; those that images are compared with
    decisions: Decisions


def try_on(tagger: Tagger, name: str, vectors: Floats, *, shown: Collection[str] = (), strip: int = 6) -> Trial:
    """Score a sample by one taxonomy of a tagger, exactly as tags are decided.

    Args:
        tagger: of the taxonomy, and of all that its condition asks about.
        name: of the taxonomy.
        vectors: ``[n, d]`` of unit length.
        shown: labels to give images of.
        strip: most images of each kind.

    Raises what ``Tagger.tag`` raises.
    """
    place = next(i for i, rule in enumerate(tagger.rules) if rule.matrix.taxonomy.name == name)
    rule = tagger.rules[place]
    matrix = rule.matrix
    scores = _Scores(
        matrix=matrix,
        thresholds=rule.thresholds,
        kept=[number for number, label in enumerate(matrix.labels) if label in shown],
        bins=np.zeros((len(matrix.labels), BINS), dtype=np.int64),
        above=np.zeros(len(matrix.labels), dtype=np.int64),
    )
    for start in range(0, max(len(vectors), 1), _CHUNK):
        part = vectors[start : start + _CHUNK]
        compared = tagger.compare(part)
        scores.add(scored(rule, *compared[place]), tagger.decide_compared(compared, len(part))[name])
    return _trial(scores, {label: scores.strips(row, strip) for row, label in enumerate(scores.kept)})


@dataclass(slots=True, eq=False)
class _Scores:
    """Sums over chunks, and what labels to show need of every image."""

    matrix: LabelMatrix
    thresholds: Floats  # [labels]
    kept: list[int]  # labels to show
    bins: npt.NDArray[np.int64]  # [labels, BINS]
    above: npt.NDArray[np.int64]  # [labels]
    # Per chunk:
    decided: list[Decisions] = field(default_factory=list)
    asked: list[npt.NDArray[np.bool_]] = field(default_factory=list)  # [labels, images], where it is a candidate
    probability: list[Floats] = field(default_factory=list)  # [kept, images]
    similarity: list[Floats] = field(default_factory=list)

    def add(self, found: LabelScores, decided: Decisions) -> None:
        chances = found.probabilities.probability
        asked = _asked(self.matrix, decided, chances.shape[1])
        self.above += (asked & (chances >= self.thresholds[:, np.newaxis])).sum(axis=1)
        place = np.minimum((chances * np.float32(BINS)).astype(np.intp), BINS - 1)
        place += np.arange(len(chances))[:, np.newaxis] * BINS
        self.bins += np.bincount(place[asked], minlength=self.bins.size).reshape(self.bins.shape)
        self.decided.append(decided)
        self.asked.append(asked)
        self.probability.append(chances[self.kept])
        self.similarity.append(found.similarity[self.kept])

    def decisions(self) -> Decisions:
        return joined(self.decided, [part.shape[1] for part in self.asked])

    def strips(self, row: int, most: int) -> Strips:
        label, decided = self.kept[row], self.decisions()
        asked = np.concatenate([part[label] for part in self.asked])
        probability = np.concatenate([part[row] for part in self.probability])
        similarity = np.concatenate([part[row] for part in self.similarity])
        images = np.flatnonzero(asked)
        # Likeliest first; of equals the nearest, then the first, so that the same sample gives the same strips.
        order = images[np.lexsort((images, -similarity[images], -probability[images]))]
        split = int(np.count_nonzero(probability[order] >= self.thresholds[label]))
        holding = np.zeros(len(asked), dtype=bool)
        holding[decided.images[decided.label == label]] = True

        def some(rows: Indices) -> TriedImages:
            rows = rows[:most]
            return TriedImages(
                images=rows, probability=probability[rows], similarity=similarity[rows], holds=holding[rows]
            )

        return Strips(
            best=some(order), above=some(order[:split][::-1]), below=some(order[split:]), worst=some(order[::-1])
        )


def _asked(matrix: LabelMatrix, decided: Decisions, count: int) -> npt.NDArray[np.bool_]:
    asked = np.zeros((len(matrix.labels), count), dtype=bool)
    for choice in matrix.choices:
        among = decided.images if choice.parent == NONE else decided.images[decided.label == choice.parent]
        asked[np.ix_(choice.labels, np.unique(among))] = True
    return asked


def _trial(scores: _Scores, strips: Mapping[int, Strips]) -> Trial:
    matrix, decided = scores.matrix, scores.decisions()
    asked = sum(part.sum(axis=1) for part in scores.asked)
    parents = {int(child): choice.parent for choice in matrix.choices for child in choice.labels}
    suggested = decided.suggested
    applied = (decided.label != NONE) & ~suggested
    tagged = np.unique(decided.images[applied])

    def label(number: int) -> LabelTrial:
        ours = decided.label == number
        return LabelTrial(
            label=matrix.labels[number],
            parent=None if parents[number] == NONE else matrix.labels[parents[number]],
            threshold=round(float(scores.thresholds[number]), 6),
            asked=int(asked[number]),
            histogram=tuple(scores.bins[number].tolist()),
            above=int(scores.above[number]),
            tagged=int(np.count_nonzero(ours & applied)),
            suggested=int(np.count_nonzero(ours & suggested)),
            strips=strips.get(number),
        )

    return Trial(
        images=sum(part.shape[1] for part in scores.asked),
        asked=len(np.unique(decided.images)),
        tagged=len(tagged),
        suggested=len(np.setdiff1d(decided.images[suggested], tagged)),
        labels=tuple(label(number) for number in range(len(matrix.labels))),
        decisions=decided,
    )


__all__ = ["BINS", "LabelTrial", "Strips", "Trial", "TriedImages", "try_on"]
