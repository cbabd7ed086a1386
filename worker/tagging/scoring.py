"""Similarities × a taxonomy → decisions. Pure arithmetic over numpy arrays.

The rule, for one question of a taxonomy and one image:

1. Each candidate (the labels, and the background as one more) has the cosine similarity of its nearest row.
2. Logits are ``logit_scale / temperature × cosine``; probabilities are their softmax over all candidates.
3. The best label becomes the tag if it is ahead of every other candidate, its probability reaches its threshold, and
   its lead over the runner-up reaches the margin. Otherwise the answer is none of these.
4. If the taxonomy asks for a precision that is not proven for the label, the label is only suggested, and the answer is
   none of these.

With ``multi-label`` each label is a question of its own, with one rival: the nearer of what the label is not and the
background. Where a label holds, its children are the next question, by the rule above; whatever its answer is, the
label itself holds.

Where a taxonomy has no numbers of its own for a model, its labels are judged relative to neutral prompts (``neutral``):
each against its strongest rival, of which the neutral level is one, and so is no logit scale of the model.

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
from worker.tagging.neutral import Yardstick, yardstick
from worker.tagging.reasons import LabelReason, ReasonCodes, code, reason_codes
from worker.types import FEW_SHOT, ZERO_SHOT, Floats, Tag


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rule:
    """A matrix with one model's numbers: all that deciding needs."""

    matrix: LabelMatrix
    factor: float  # what cosines are multiplied by, unless it is relative
    temperature: float
    relative: bool  # to neutral prompts
    margin: np.float32
    thresholds: Floats  # [labels of the matrix]
    suggested: npt.NDArray[np.bool_]  # [labels of the matrix], not applied where they hold: their precision is unproven
    source: str  # of tags: whether people's decisions taught the rows


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChoiceResult:
    """The answers to one choice about n images: m labels, each against its strongest rival."""

    score: Floats  # [m, n], cosine similarity
    probability: Floats  # [m, n]
    lead: Floats  # [m, n], over the strongest other candidate, in probability
    holds: npt.NDArray[np.bool_]  # [m, n]
    suggested: npt.NDArray[np.bool_]  # [m], labels that are not applied where they hold
    winner: ReasonCodes  # [n] or [m, n]: why a label does not hold that is behind the strongest candidate
    thresholds: Floats  # [m]

    def reasons(self, labels: Indices, images: Indices) -> ReasonCodes:
        """Why labels hold or not, for pairs of a label of the choice and an image."""
        return reason_codes(
            holds=self.holds[labels, images],
            suggested=self.suggested[labels],
            lead=self.lead[labels, images],
            probability=self.probability[labels, images],
            thresholds=self.thresholds[labels],
            winner=self.winner[images] if self.winner.ndim == 1 else self.winner[labels, images],
        )


def rule(matrix: LabelMatrix, *, logit_scale: float, model: str, space: int | None = None) -> Rule:
    """Take the numbers for a model, and what reviews taught in a space of it.

    Raises:
        ValueError: ``logit_scale`` ≤ 0 or not finite, or the matrix lacks neutral prompts, built for another model.
    """
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise ValueError(f"logit_scale must be a positive number, not {logit_scale}")
    calibration, relative = matrix.taxonomy.calibration_for(model, space), matrix.taxonomy.is_relative_for(model)
    suggested = matrix.taxonomy.suggested(space)
    if relative and matrix.neutral is None:
        raise ValueError(f"the matrix of {matrix.taxonomy.name!r} has no neutral prompts; build it for model {model!r}")
    return Rule(
        matrix=matrix,
        factor=logit_scale / calibration.temperature,
        temperature=calibration.temperature,
        relative=relative,
        margin=np.float32(calibration.margin),
        thresholds=np.array([calibration.threshold_of(label) for label in matrix.labels], dtype=np.float32),
        suggested=np.array([label in suggested for label in matrix.labels], dtype=bool),
        source=FEW_SHOT if matrix.taxonomy.head(space) else ZERO_SHOT,
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
    by = rule(matrix, logit_scale=logit_scale, model=model)
    cosines = similarities(exact_rows(matrix.rows), vectors)
    known = None if matrix.neutral is None else yardstick(similarities(exact_rows(matrix.neutral), vectors))
    decided = decide(cosines, by, known=known)
    return [tags[0] for tags in decided.tags(len(vectors))]  # a suggestion comes behind "none of these"


def probabilities(vectors: Floats, matrix: LabelMatrix, *, logit_scale: float, model: str) -> Floats:
    """``[n, candidates]``: what the labels at the top of an exclusive taxonomy are decided by.

    In the order of ``matrix.labels``, then the background if there is one. Arguments and errors are those of ``score``.
    Only for models that the taxonomy has numbers for.
    """
    cosines = similarities(exact_rows(matrix.rows), vectors)[matrix.top.rows]
    factor = rule(matrix, logit_scale=logit_scale, model=model).factor
    return softmax(nearest(cosines, matrix.top) * np.float32(factor)).T


def decide(cosines: Floats, by: Rule, among: Indices | None = None, *, known: Yardstick | None = None) -> Decisions:
    """Apply the rule above.

    Args:
        cosines: ``[r, n]`` similarities of the matrix's rows.
        by: what ``rule`` returned.
        among: the images to decide about, ascending; None: all n.
        known: what the n images are to neutral prompts; needed if the rule is relative.
    """
    everyone = np.arange(cosines.shape[1]) if among is None else among
    parts = [_answers(cosines, by, by.matrix.top, everyone, known)]
    for choice in by.matrix.choices[1:]:
        asked = _holding(parts, choice.parent)
        if len(asked):
            parts.append(_answers(cosines, by, choice, asked, known))
    return _in_order(parts, by)


def judge(cosines: Floats, by: Rule, choice: Choice, known: Yardstick | None = None) -> ChoiceResult:
    """Answer one choice, ``cosines`` being those of its rows, ``[rows of the choice, n]``; ``known``: as ``decide``."""
    candidates = nearest(cosines, choice)
    by_itself = is_by_itself(by.matrix, choice)
    if by.relative:
        assert known is not None  # noqa: S101  # see ``decide``
        return _relative(candidates, by, choice, known)
    return _each_by_itself(candidates, by, choice) if by_itself else _exclusive(candidates, by, choice)


def is_by_itself(matrix: LabelMatrix, choice: Choice) -> bool:
    """Whether each label has rivals of its own, instead of the others."""
    return choice.parent == NONE and matrix.taxonomy.mode == "multi-label"


def nearest(cosines: Floats, choice: Choice) -> Floats:
    """``[rows of the choice, n]`` → ``[candidates, n]``: each candidate's nearest row."""
    if len(choice.starts) == len(cosines):
        return cosines
    found: Floats = np.maximum.reduceat(cosines, choice.starts, axis=0)
    return found


def _exclusive(candidates: Floats, by: Rule, choice: Choice) -> ChoiceResult:
    chances = softmax(candidates * np.float32(by.factor))
    count = len(choice.labels)
    kinds = np.full(len(candidates), code(LabelReason.LABEL_NEARER), dtype=np.int8)
    kinds[count:] = code(LabelReason.BACKGROUND_NEARER)
    best = chances.argmax(axis=0)
    lead = _leads(chances, best)[:count]
    return _verdict(by, choice, score=candidates[:count], probability=chances[:count], lead=lead, winner=kinds[best])


def _leads(chances: Floats, best: Indices) -> Floats:
    """``[c, n]``: each candidate's probability less that of the strongest other; not positive for all but the best."""
    images = np.arange(chances.shape[1])
    highest = chances[best, images]
    others = chances.copy()
    others[best, images] = 0
    leads: Floats = chances - highest
    leads[best, images] = highest - others.max(axis=0)
    return leads


def _each_by_itself(candidates: Floats, by: Rule, choice: Choice) -> ChoiceResult:
    rival = opposites(candidates, choice)
    if choice.background:
        rival = np.maximum(rival, candidates[-1])
    winner = np.full(rival.shape[1], code(LabelReason.BACKGROUND_NEARER), dtype=np.int8)
    chances = sigmoid((candidates[: len(rival)] - rival) * np.float32(by.factor))
    return _against_one(candidates, chances, winner, by, choice)


def _relative(candidates: Floats, by: Rule, choice: Choice, known: Yardstick) -> ChoiceResult:
    level = known.level(candidates[-1] if choice.background else None)
    rival = opposites(candidates, choice) if is_by_itself(by.matrix, choice) else _others(candidates, choice)
    other = LabelReason.BACKGROUND_NEARER if is_by_itself(by.matrix, choice) else LabelReason.LABEL_NEARER
    below = known.level(None) < level
    winner = np.where(below, np.int8(code(LabelReason.BACKGROUND_NEARER)), np.int8(code(LabelReason.BELOW_NEUTRAL)))
    winner = np.where(rival > level, np.int8(code(other)), winner)
    lead = candidates[: len(rival)] - np.maximum(rival, level)
    return _against_one(candidates, sigmoid(lead * known.factor(by.temperature)), winner, by, choice)


def opposites(candidates: Floats, choice: Choice) -> Floats:
    """``[m, n]``: the cosine of what each label is not; -∞ if nothing says so."""
    found = np.full_like(candidates[: len(choice.labels)], -np.inf)
    with_own = choice.negatives != NONE
    found[with_own] = candidates[choice.negatives[with_own]]
    return found


def _others(candidates: Floats, choice: Choice) -> Floats:
    """``[m, n]``: the cosine of the nearest other label of the choice; -∞ if there is none."""
    labels = candidates[: len(choice.labels)]
    best, images = labels.argmax(axis=0), np.arange(labels.shape[1])
    others = np.repeat(labels[best, images][np.newaxis], len(labels), axis=0)
    rest = labels.copy()
    rest[best, images] = -np.inf
    others[best, images] = rest.max(axis=0)
    return others


def _against_one(candidates: Floats, chances: Floats, winner: ReasonCodes, by: Rule, choice: Choice) -> ChoiceResult:
    """Labels that have one rival each."""
    score, lead = candidates[: len(choice.labels)], 2 * chances - 1
    return _verdict(by, choice, score=score, probability=chances, lead=lead, winner=winner)


def _verdict(
    by: Rule, choice: Choice, *, score: Floats, probability: Floats, lead: Floats, winner: ReasonCodes
) -> ChoiceResult:
    thresholds = by.thresholds[choice.labels]
    holds = (lead > 0) & (lead >= by.margin) & (probability >= thresholds[:, np.newaxis])
    return ChoiceResult(
        score=score,
        probability=probability,
        lead=lead,
        holds=holds,
        suggested=by.suggested[choice.labels],
        winner=winner,
        thresholds=thresholds,
    )


# -- from verdicts to decisions ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """Pairs of an image and a label of the matrix, or NONE, in any order."""

    images: Indices
    labels: Indices
    score: Floats
    probability: Floats
    reason: ReasonCodes
    nearest: Indices


def _answers(cosines: Floats, by: Rule, choice: Choice, asked: Indices, known: Yardstick | None) -> _Answers:
    part = cosines[choice.rows]
    if len(asked) < part.shape[1]:
        part, known = part[:, asked], None if known is None else known.of(asked)
    verdict = judge(part, by, choice, known)
    label, place = np.nonzero(verdict.holds)
    found = _Answers(
        asked[place],
        choice.labels[label],
        verdict.score[label, place],
        verdict.probability[label, place],
        verdict.reasons(label, place),
        choice.labels[label],
    )
    return _joined([found, _abstentions(verdict, choice, asked)]) if choice.parent == NONE else found


def _abstentions(verdict: ChoiceResult, choice: Choice, asked: Indices) -> _Answers:
    """If no label is applied, record that with the numbers of the suggested label, or of the one that came nearest."""
    applied = verdict.holds & ~verdict.suggested[:, np.newaxis]
    place = np.flatnonzero(~applied.any(axis=0))
    best = (verdict.probability[:, place] + verdict.holds[:, place]).argmax(axis=0)
    none = np.full(len(place), NONE, dtype=np.intp)
    score, probability = verdict.score[best, place], verdict.probability[best, place]
    return _Answers(asked[place], none, score, probability, verdict.reasons(best, place), choice.labels[best])


def _holding(parts: Sequence[_Answers], label: int) -> Indices:
    return np.sort(np.concatenate([part.images[part.labels == label] for part in parts]))


def _joined(parts: Sequence[_Answers]) -> _Answers:
    return _Answers(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("images", "labels", "score", "probability", "reason", "nearest")
        )
    )


def _in_order(parts: Sequence[_Answers], by: Rule) -> Decisions:
    every, matrix = _joined(parts), by.matrix
    order = np.lexsort((every.labels, every.images))
    return Decisions(
        taxonomy=matrix.taxonomy,
        labels=matrix.labels,
        images=every.images[order],
        label=every.labels[order],
        score=every.score[order],
        probability=every.probability[order],
        reason=every.reason[order],
        nearest=every.nearest[order],
        source=by.source,
    )
