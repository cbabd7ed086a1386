"""Decisions, as arrays and as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.tagging.taxonomy import Taxonomy
from worker.types import Floats, Tag


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decisions:
    """One taxonomy's decisions about a batch, as k pairs of image and label: for bulk work that has no use for objects.

    Every image the taxonomy applies to has one pair or more: its labels, parents before children, or -1 for none of
    these. An image it does not apply to (``when``) has none.
    """

    taxonomy: Taxonomy
    labels: tuple[str, ...]  # parents before children
    images: npt.NDArray[np.intp]  # [k], row of the image in the batch, ascending
    label: npt.NDArray[np.intp]  # [k], index into labels, or -1: none of these
    score: Floats  # [k], cosine similarity of the label; with -1, of the best label at the top
    probability: Floats  # [k], of the label among its rivals, given that its parent holds; with -1, as score

    def holding(self, labels: Sequence[str | None]) -> npt.NDArray[np.intp]:
        """The images that have one of these labels (None: none of these), ascending, each once."""
        wanted = [-1 if label is None else self.labels.index(label) for label in labels if self._may_hold(label)]
        return np.unique(self.images[np.isin(self.label, wanted)])

    def tags(self, count: int) -> list[tuple[Tag, ...]]:
        """The same as values, for each of the ``count`` images of the batch."""
        tags: list[list[Tag]] = [[] for _ in range(count)]
        name, version = self.taxonomy.name, self.taxonomy.version
        answers = np.array((*self.labels, None), dtype=object)[self.label]
        columns = (self.images.tolist(), answers.tolist(), self.score.tolist(), self.probability.tolist())
        for image, label, score, probability in zip(*columns, strict=True):
            tags[image].append(Tag(taxonomy=name, version=version, label=label, score=score, probability=probability))
        return [tuple(each) for each in tags]

    def _may_hold(self, label: str | None) -> bool:
        return label is None or label in self.labels


def joined(parts: Sequence[Decisions], counts: Sequence[int]) -> Decisions:
    """Decisions about consecutive batches of these sizes → about all of them."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *counts[:-1]])
    return Decisions(
        taxonomy=parts[0].taxonomy,
        labels=parts[0].labels,
        images=np.concatenate([part.images + start for part, start in zip(parts, first, strict=True)]),
        label=np.concatenate([part.label for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        probability=np.concatenate([part.probability for part in parts]),
    )
