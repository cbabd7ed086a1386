"""Vectors × taxonomies → tags, or "none of these". Pure arithmetic over numpy arrays.

The rule, for one taxonomy and one image:

1. Each candidate (the labels, and the background as one more) has the cosine similarity of its nearest row.
2. Logits are ``logit_scale / temperature × cosine``; probabilities are their softmax over all candidates.
3. The best label becomes the tag if it is ahead of every other candidate, its probability reaches the threshold, and
   its lead over the runner-up reaches the margin. Otherwise the answer is none of these.

**Why softmax for SigLIP too.** SigLIP is trained to judge each text by itself: ``P(i fits) = σ(zᵢ)`` with
``zᵢ = scale × cosine + bias``. The bias (about -16) prices in that almost no text fits a given image, so these numbers
are small even for the right label, and no threshold on them carries over between prompts. The labels of an exclusive
taxonomy answer another question: *given that exactly one candidate is right, which?* For independent judgements that is

    P(i | exactly one) ∝ σ(zᵢ) × ∏_{j≠i} (1 - σ(zⱼ)) ∝ σ(zᵢ) / (1 - σ(zᵢ)) = exp(zᵢ)

— the softmax of the same logits, from which the bias cancels. So one rule serves both families, and neither the bias
nor the activation of a model is needed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.errors import SpaceMismatchError
from worker.tagging.matrix import LabelMatrix
from worker.tagging.taxonomy import Taxonomy
from worker.types import Floats, Tag


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decisions:
    """One taxonomy's decisions about n images, as arrays: for bulk work that has no use for a million objects."""

    taxonomy: Taxonomy
    labels: tuple[str, ...]
    best: npt.NDArray[np.intp]  # [n], index into labels of the best label, decided or not
    decided: npt.NDArray[np.bool_]  # [n], False: none of these
    score: Floats  # [n], cosine similarity of the best label
    probability: Floats  # [n], of the best label among all candidates

    def tags(self) -> list[Tag]:
        """The same as values, one per image."""
        name, version = self.taxonomy.name, self.taxonomy.version
        answers = np.array((*self.labels, None), dtype=object)[np.where(self.decided, self.best, -1)]
        columns = (answers.tolist(), self.score.tolist(), self.probability.tolist())
        return [
            Tag(taxonomy=name, version=version, label=label, score=score, probability=probability)
            for label, score, probability in zip(*columns, strict=True)
        ]


def score(vectors: Floats, matrix: LabelMatrix, *, logit_scale: float, model: str) -> list[Tag]:
    """Tag images by one taxonomy; ``Tagger`` does several in one product.

    Args:
        vectors: ``[n, d]`` of unit length, of the model whose text encoder built the matrix.
        matrix: what ``build_label_matrix`` returned.
        logit_scale: what the model multiplies cosines by (CLIP: about 100), not its logarithm.
        model: as ``ENRICH_MODEL`` has it; chooses the calibration.

    Raises:
        SpaceMismatchError: d is not the dimension of the matrix.
        ValueError: not a matrix, rows that are not finite (the message names them), or a ``logit_scale`` ≤ 0.
    """
    return decide(similarities(matrix.rows, vectors), matrix, logit_scale=logit_scale, model=model).tags()


def probabilities(vectors: Floats, matrix: LabelMatrix, *, logit_scale: float, model: str) -> Floats:
    """``[n, candidates]``: what ``score`` decides by; ``matrix.labels`` in order, then the background if there is one.

    Arguments and errors are those of ``score``.
    """
    cosines = _by_candidate(similarities(matrix.rows, vectors), matrix)
    return _softmax(cosines * _factor(matrix, logit_scale, model)).T


def similarities(rows: Floats, vectors: Floats) -> Floats:
    """Cosines of unit vectors, ``[r, d]`` and ``[n, d]`` → ``[r, n]``; raises what ``score`` raises about vectors.

    One row per text, so that reducing over candidates runs along images: numpy vectorises that.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:  # noqa: PLR2004
        raise ValueError(f"vectors must be a matrix [n, d], not of shape {vectors.shape}")
    if vectors.shape[1] != rows.shape[1]:
        raise SpaceMismatchError(
            f"the images have vectors of dimension {vectors.shape[1]}, the labels of {rows.shape[1]}: "
            "they are of different models; build the tagger with the model that embedded the images"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        cosines: Floats = rows @ vectors.T
    _refuse_non_finite(cosines)
    return cosines


def _refuse_non_finite(cosines: Floats) -> None:
    finite = np.isfinite(cosines)
    if not finite.all():
        broken = np.flatnonzero(~finite.all(axis=0))
        raise ValueError(f"{len(broken)} vectors are not finite, first at row {broken[0]}; the image encoder failed")


def decide(cosines: Floats, matrix: LabelMatrix, *, logit_scale: float, model: str) -> Decisions:
    """Apply the rule above to ``[r, n]`` similarities of the matrix's rows."""
    calibration = matrix.taxonomy.calibration_for(model)
    cosines = _by_candidate(cosines, matrix)
    chances = _softmax(cosines * _factor(matrix, logit_scale, model))
    best = chances[: len(matrix.labels)].argmax(axis=0)
    images = np.arange(len(best))
    probability = chances[best, images]
    chances[best, images] = 0
    lead = probability - chances.max(axis=0)
    return Decisions(
        taxonomy=matrix.taxonomy,
        labels=matrix.labels,
        best=best,
        decided=(lead > 0) & (lead >= calibration.margin) & (probability >= calibration.threshold),
        score=cosines[best, images],
        probability=probability,
    )


def _by_candidate(cosines: Floats, matrix: LabelMatrix) -> Floats:
    """``[r, n]`` → ``[candidates, n]``: each candidate's nearest row."""
    if len(matrix.starts) == len(matrix.rows):
        return cosines
    nearest: Floats = np.maximum.reduceat(cosines, matrix.starts, axis=0)
    return nearest


def _factor(matrix: LabelMatrix, logit_scale: float, model: str) -> float:
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise ValueError(f"logit_scale must be a positive number, not {logit_scale}")
    return logit_scale / matrix.taxonomy.calibration_for(model).temperature


def _softmax(logits: Floats) -> Floats:
    """Along axis 0, shifted so that the largest exponent is 0."""
    powers: Floats = np.exp(logits - logits.max(axis=0))
    powers /= powers.sum(axis=0)
    return powers
