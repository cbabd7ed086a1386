"""Every label's probability for many images, whether it holds or not: for review, where near misses matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.tagging.matrix import Indices
from worker.tagging.neutral import Yardstick
from worker.tagging.scoring import Rule, judge
from worker.tagging.tagger import Tagger
from worker.types import Floats

_CHUNK = 2_048


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelProbabilities:
    """One taxonomy's labels for n images."""

    labels: tuple[str, ...]  # parents before children
    level: Indices  # [labels], labels with the same number compete with each other; 0: at the top
    probability: Floats  # [labels, n], among its rivals, given that its parent holds
    holds: npt.NDArray[np.bool_]  # [labels, n], given that its parent does
    eligible: npt.NDArray[np.bool_]  # [labels, n], whether it would hold with a threshold of 0
    thresholds: Floats  # [labels]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelScores:
    """The same, with what probabilities are made of."""

    probabilities: LabelProbabilities
    similarity: Floats  # [labels, n], cosine of the label's nearest row


def label_probabilities(tagger: Tagger, vectors: Floats) -> Iterator[LabelProbabilities]:
    """Score images by a tagger of one taxonomy, in parts of bounded size.

    Args:
        tagger: of exactly one taxonomy; its condition is not asked.
        vectors: ``[n, d]`` of unit length.
    """
    for start in range(0, len(vectors), _CHUNK):
        [part] = score_labels(tagger, vectors[start : start + _CHUNK])
        yield part.probabilities


def score_labels(tagger: Tagger, vectors: Floats) -> list[LabelScores]:
    """Score images by every taxonomy of a tagger, in the order of ``tagger.rules``; conditions are not asked.

    Args:
        tagger: of any taxonomies.
        vectors: ``[n, d]`` of unit length, few enough for ``[labels, n]`` numbers to fit into memory.
    """
    compared = tagger.compare(vectors)
    return [scored(by, cosines, known) for by, (cosines, known) in zip(tagger.rules, compared, strict=True)]


def scored(by: Rule, cosines: Floats, known: Yardstick | None) -> LabelScores:
    """Score images by one rule, from what ``Tagger.compare`` gives for it."""
    matrix = by.matrix
    level = np.zeros(len(matrix.labels), dtype=np.intp)
    similarity = np.empty((len(matrix.labels), cosines.shape[1]), dtype=np.float32)
    probability = np.empty_like(similarity)
    holds = np.empty(similarity.shape, dtype=bool)
    eligible = np.empty(similarity.shape, dtype=bool)
    for number, choice in enumerate(matrix.choices):
        level[choice.labels] = number
        result = judge(cosines[choice.rows], by, choice, known=known)
        similarity[choice.labels] = result.score
        probability[choice.labels], holds[choice.labels] = result.probability, result.holds
        eligible[choice.labels] = (result.lead > 0) & (result.lead >= by.margin)
    found = LabelProbabilities(
        labels=matrix.labels, level=level, probability=probability, holds=holds, eligible=eligible,
        thresholds=by.thresholds,
    )  # fmt: skip
    return LabelScores(probabilities=found, similarity=similarity)
