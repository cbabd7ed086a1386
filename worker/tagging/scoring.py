"""Similarities × a taxonomy → decisions. Pure arithmetic over numpy arrays.

The rule, for one question of a taxonomy and one image:

1. Each candidate (the labels, and the background as one more) has the cosine similarity of its nearest row.
2. Logits are ``logit_scale / temperature × cosine``; probabilities are their softmax over all candidates.
3. The best label becomes the tag if it is ahead of every other candidate, its probability reaches its threshold, and
   its lead over the runner-up reaches the margin. Otherwise the answer is none of these.

With ``multi-label`` each label is a question of its own, with one rival: the nearer of what the label is not and the
background. Where a label holds, its children are the next question, by the rule above; whatever its answer is, the
label itself holds.

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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.tagging.decisions import Decisions
from worker.tagging.exact_similarity import exact_rows, sigmoid, similarities, softmax
from worker.tagging.matrix import NONE, Choice, Indices, LabelMatrix
from worker.types import Floats, Tag


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rule:
    """A matrix with one model's numbers: all that deciding needs."""

    matrix: LabelMatrix
    factor: float  # what cosines are multiplied by
    margin: np.float32
    thresholds: Floats  # [labels of the matrix]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChoiceResult:
    """The answers to one choice about n images: m labels, each against its strongest rival."""

    score: Floats  # [m, n], cosine similarity
    probability: Floats  # [m, n]
    lead: Floats  # [m, n], over the strongest other candidate, in probability
    holds: npt.NDArray[np.bool_]  # [m, n]


def rule(matrix: LabelMatrix, *, logit_scale: float, model: str) -> Rule:
    """Take the numbers for a model.

    Raises:
        ValueError: ``logit_scale`` ≤ 0 or not finite.
    """
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise ValueError(f"logit_scale must be a positive number, not {logit_scale}")
    calibration = matrix.taxonomy.calibration_for(model)
    return Rule(
        matrix=matrix,
        factor=logit_scale / calibration.temperature,
        margin=np.float32(calibration.margin),
        thresholds=np.array([calibration.threshold_of(label) for label in matrix.labels], dtype=np.float32),
    )


def score(vectors: Floats, matrix: LabelMatrix, *, logit_scale: float, model: str) -> list[Tag]:
    """Tag images by one taxonomy whose images have one label at most; ``Tagger`` does all kinds, and several at once.

    Args:
        vectors: ``[n, d]`` of unit length, of the model whose text encoder built the matrix.
        matrix: what ``build_label_matrix`` returned.
        logit_scale: what the model multiplies cosines by (CLIP: about 100), not its logarithm.
        model: as ``ENRICH_MODEL`` has it; chooses the calibration.

    Raises:
        SpaceMismatchError: d is not the dimension of the matrix.
        ValueError: not a matrix, rows that are not finite (the message names them), a ``logit_scale`` ≤ 0, or a
            taxonomy that can give an image several labels.
    """
    if matrix.taxonomy.many:
        raise ValueError(f"{matrix.taxonomy.name!r} can give an image several labels; use a Tagger")
    cosines = similarities(exact_rows(matrix.rows), vectors)
    decided = decide(cosines, rule(matrix, logit_scale=logit_scale, model=model))
    return [tag for (tag,) in decided.tags(len(vectors))]


def probabilities(vectors: Floats, matrix: LabelMatrix, *, logit_scale: float, model: str) -> Floats:
    """``[n, candidates]``: what the labels at the top of an exclusive taxonomy are decided by.

    In the order of ``matrix.labels``, then the background if there is one. Arguments and errors are those of ``score``.
    """
    cosines = similarities(exact_rows(matrix.rows), vectors)[matrix.top.rows]
    factor = rule(matrix, logit_scale=logit_scale, model=model).factor
    return softmax(nearest(cosines, matrix.top) * np.float32(factor)).T


def decide(cosines: Floats, by: Rule, among: Indices | None = None) -> Decisions:
    """Apply the rule above.

    Args:
        cosines: ``[r, n]`` similarities of the matrix's rows.
        by: what ``rule`` returned.
        among: the images to decide about, ascending; None: all n.
    """
    everyone = np.arange(cosines.shape[1]) if among is None else among
    parts = [_answers(cosines, by, by.matrix.top, everyone)]
    for choice in by.matrix.choices[1:]:
        asked = _holding(parts, choice.parent)
        if len(asked):
            parts.append(_answers(cosines, by, choice, asked))
    return _in_order(parts, by.matrix)


def judge(cosines: Floats, by: Rule, choice: Choice) -> ChoiceResult:
    """Answer one choice, ``cosines`` being those of its rows, ``[rows of the choice, n]``."""
    candidates = nearest(cosines, choice)
    if choice.parent == NONE and by.matrix.taxonomy.mode == "multi-label":
        return _each_by_itself(candidates, by, choice)
    return _exclusive(candidates, by, choice)


def nearest(cosines: Floats, choice: Choice) -> Floats:
    """``[rows of the choice, n]`` → ``[candidates, n]``: each candidate's nearest row."""
    if len(choice.starts) == len(cosines):
        return cosines
    found: Floats = np.maximum.reduceat(cosines, choice.starts, axis=0)
    return found


def _exclusive(candidates: Floats, by: Rule, choice: Choice) -> ChoiceResult:
    chances = softmax(candidates * np.float32(by.factor))
    count = len(choice.labels)
    return _verdict(candidates[:count], chances[:count], _leads(chances)[:count], by, choice)


def _leads(chances: Floats) -> Floats:
    """``[c, n]``: each candidate's probability less that of the strongest other; not positive for all but the best."""
    best, images = chances.argmax(axis=0), np.arange(chances.shape[1])
    highest = chances[best, images]
    others = chances.copy()
    others[best, images] = 0
    leads: Floats = chances - highest
    leads[best, images] = highest - others.max(axis=0)
    return leads


def _each_by_itself(candidates: Floats, by: Rule, choice: Choice) -> ChoiceResult:
    count = len(choice.labels)
    rival = np.full_like(candidates[:count], -np.inf)
    if choice.background:
        rival[:] = candidates[-1]
    with_own = choice.negatives != NONE
    rival[with_own] = np.maximum(rival[with_own], candidates[choice.negatives[with_own]])
    chances = sigmoid((candidates[:count] - rival) * np.float32(by.factor))
    return _verdict(candidates[:count], chances, 2 * chances - 1, by, choice)


def _verdict(score: Floats, probability: Floats, lead: Floats, by: Rule, choice: Choice) -> ChoiceResult:
    thresholds = by.thresholds[choice.labels, np.newaxis]
    holds = (lead > 0) & (lead >= by.margin) & (probability >= thresholds)
    return ChoiceResult(score=score, probability=probability, lead=lead, holds=holds)


# -- from verdicts to decisions ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """Pairs of an image and a label of the matrix, or NONE, in any order."""

    images: Indices
    labels: Indices
    score: Floats
    probability: Floats


def _answers(cosines: Floats, by: Rule, choice: Choice, asked: Indices) -> _Answers:
    part = cosines[choice.rows]
    verdict = judge(part if len(asked) == part.shape[1] else part[:, asked], by, choice)
    label, place = np.nonzero(verdict.holds)
    found = _Answers(asked[place], choice.labels[label], verdict.score[label, place], verdict.probability[label, place])
    return _joined([found, _abstentions(verdict, asked)]) if choice.parent == NONE else found


def _abstentions(verdict: ChoiceResult, asked: Indices) -> _Answers:
    """If no label holds, record that with the numbers of the label that came nearest."""
    place = np.flatnonzero(~verdict.holds.any(axis=0))
    best = verdict.probability[:, place].argmax(axis=0)
    none = np.full(len(place), NONE, dtype=np.intp)
    return _Answers(asked[place], none, verdict.score[best, place], verdict.probability[best, place])


def _holding(parts: Sequence[_Answers], label: int) -> Indices:
    return np.sort(np.concatenate([part.images[part.labels == label] for part in parts]))


def _joined(parts: Sequence[_Answers]) -> _Answers:
    return _Answers(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("images", "labels", "score", "probability")
        )
    )


def _in_order(parts: Sequence[_Answers], matrix: LabelMatrix) -> Decisions:
    every = _joined(parts)
    order = np.lexsort((every.labels, every.images))
    return Decisions(
        taxonomy=matrix.taxonomy,
        labels=matrix.labels,
        images=every.images[order],
        label=every.labels[order],
        score=every.score[order],
        probability=every.probability[order],
    )
