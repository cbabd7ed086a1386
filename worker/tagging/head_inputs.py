"""What a head starts from: the zero-shot logits of a taxonomy's top labels; and the rows that it ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.tagging.exact_similarity import as_stored
from worker.tagging.heads import Fitted
from worker.tagging.learned import NONE_OF_THESE, Head, packed
from worker.tagging.matrix import Choice, LabelMatrix
from worker.tagging.neutral import Yardstick
from worker.tagging.scoring import Rule, is_by_itself, nearest, opposites
from worker.tagging.tagger import Tagger
from worker.types import Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ZeroShot:
    """n images and the K labels at the top of a taxonomy, as its prompts see them."""

    labels: tuple[str, ...]  # with prompts in the order of the matrix, then without
    prompted: int  # how many have prompts
    factor: Floats  # [n], what cosines are multiplied by
    base: Floats  # [n, K], logits
    other: Floats  # [n], logit of the fixed rival, or -inf; [n, K] if labels are decided one by one
    anchor: Floats  # [n], logit of the middle of the labels
    middle: Floats  # [d], mean of the rows of the labels that have prompts
    independent: bool
    relative: bool


def zero_shot(tagger: Tagger, vectors: Floats, *, without_prompts: Sequence[str] = ()) -> ZeroShot:
    """Compare images with a taxonomy.

    Args:
        tagger: of exactly one taxonomy, without its head; its condition is not asked.
        vectors: ``[n, d]`` of unit length.
        without_prompts: labels at the top that only decisions teach; they start in the middle of the others.
    """
    [by] = tagger.rules
    [(cosines, known)] = tagger.compare(vectors)
    choice = by.matrix.top
    candidates = nearest(cosines[choice.rows], choice)
    background = candidates[-1] if choice.background else np.full(len(vectors), -np.inf, dtype=np.float32)
    factor = _factor(by, known, len(vectors))
    middle = _middle(by.matrix, choice)
    anchor = factor * (as_stored(vectors) @ middle)
    extra = np.repeat(anchor[:, None], len(without_prompts), axis=1)
    rival = background if known is None else known.level(background if choice.background else None)
    independent = is_by_itself(by.matrix, choice)
    if independent:
        own = np.maximum(opposites(candidates, choice), rival)
        rival = np.concatenate([own, np.repeat(rival[None], len(without_prompts), axis=0)])
    return ZeroShot(
        labels=(*(by.matrix.labels[place] for place in choice.labels), *without_prompts),
        prompted=len(choice.labels),
        factor=factor,
        base=np.column_stack([factor[:, None] * candidates[: len(choice.labels)].T, extra]),
        other=_times(factor, rival),
        anchor=anchor,
        middle=middle,
        independent=independent,
        relative=by.relative,
    )


def head_of(fitted: Fitted, start: ZeroShot, *, number: int) -> Head:
    """The moves of labels with prompts, and whole rows of what has none."""
    moves = {
        label: packed(move)
        for label, move in zip(start.labels[: start.prompted], fitted.moves, strict=False)
        if move.any()
    }
    without = [*start.labels[start.prompted :], *([NONE_OF_THESE] if fitted.with_none else [])]
    rows = {
        label: packed(start.middle + move) for label, move in zip(without, fitted.moves[start.prompted :], strict=True)
    }
    return Head(number=number, moves=moves, rows=rows)


def _factor(by: Rule, known: Yardstick | None, count: int) -> Floats:
    return np.full(count, by.factor, dtype=np.float32) if known is None else known.factor(by.temperature)


def _middle(matrix: LabelMatrix, choice: Choice) -> Floats:
    rows = matrix.rows[choice.rows]
    ends = [*choice.starts[1:], len(rows)]
    runs = [rows[start:end].mean(axis=0) for start, end in zip(choice.starts, ends, strict=True)]
    middle: Floats = np.mean(runs[: len(choice.labels)], axis=0, dtype=np.float32)
    return middle


def _times(factor: Floats, rival: Floats) -> Floats:
    """Cosines ``[n]`` or ``[K, n]`` → logits ``[n]`` or ``[n, K]``; what is missing stays so."""
    product = np.full_like(rival, -np.inf)
    np.multiply(factor, rival, out=product, where=np.isfinite(rival))
    return product.T
