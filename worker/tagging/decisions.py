"""Decisions, as arrays and as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.tagging.reasons import REASONS, LabelReason, ReasonCodes, code
from worker.tagging.taxonomy import Taxonomy
from worker.types import MODEL_SOURCES, SUGGESTION, ZERO_SHOT, Floats, Tag


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decisions:
    """One taxonomy's decisions about a batch, as k pairs of image and label: for bulk work that has no use for objects.

    Every image the taxonomy applies to has one pair or more: its labels, parents before children, or -1 for none of
    these. An image it does not apply to (``when``) has none. Labels that are only suggested are pairs, too: beside
    applied ones, or beside -1.
    """

    taxonomy: Taxonomy
    labels: tuple[str, ...]  # parents before children
    images: npt.NDArray[np.intp]  # [k], row of the image in the batch, ascending
    label: npt.NDArray[np.intp]  # [k], index into labels, or -1: none of these
    score: Floats  # [k], cosine similarity of the label; with -1, of the best label at the top
    probability: Floats  # [k], of the label among its rivals, given that its parent holds; with -1, as score
    reason: ReasonCodes  # [k], index into REASONS: DECIDED, UNPROVEN; with -1, why the best at the top is not applied
    nearest: npt.NDArray[np.intp]  # [k], as label; with -1, the best label at the top
    source: str = ZERO_SHOT  # of the tags

    @property
    def suggested(self) -> npt.NDArray[np.bool_]:
        """``[k]``: labels that are not applied, because their precision is not proven."""
        found: npt.NDArray[np.bool_] = (self.reason == code(LabelReason.UNPROVEN)) & (self.label != -1)
        return found

    @property
    def sources(self) -> npt.NDArray[np.int8]:
        """``[k]``, indices into ``MODEL_SOURCES``."""
        own, suggestion = MODEL_SOURCES.index(self.source), MODEL_SOURCES.index(SUGGESTION)
        return np.where(self.suggested, np.int8(suggestion), np.int8(own))

    def holding(self, labels: Sequence[str | None]) -> npt.NDArray[np.intp]:
        """The images to which one of these labels is applied (None: none of these), ascending, each once."""
        wanted = [-1 if label is None else self.labels.index(label) for label in labels if self._may_hold(label)]
        return np.unique(self.images[np.isin(self.label, wanted) & ~self.suggested])

    def abstentions(self) -> Mapping[LabelReason, npt.NDArray[np.intp]]:
        """The images that have none of the labels, ascending, by why the label that came nearest is not applied."""
        none = self.label == -1
        images, reason = self.images[none], self.reason[none]
        return {REASONS[each]: images[reason == each] for each in np.unique(reason).tolist()}

    def tags(self, count: int) -> list[tuple[Tag, ...]]:
        """The same as values, for each of the ``count`` images of the batch."""
        tags: list[list[Tag]] = [[] for _ in range(count)]
        name, version = self.taxonomy.name, self.taxonomy.version
        answers = np.array((*self.labels, None), dtype=object)[self.label]
        sources = np.array(MODEL_SOURCES, dtype=object)[self.sources]
        columns = (self.images, answers, self.score, self.probability, sources)
        for image, label, score, probability, source in zip(*(each.tolist() for each in columns), strict=True):
            tag = Tag(taxonomy=name, version=version, label=label, score=score, probability=probability, source=source)
            tags[image].append(tag)
        return [tuple(each) for each in tags]

    def _may_hold(self, label: str | None) -> bool:
        return label is None or label in self.labels


def tags(decided: Sequence[Decisions], images: int) -> list[tuple[Tag, ...]]:
    """For each image of a batch its tags, in the order of the taxonomies."""
    by_taxonomy = [each.tags(images) for each in decided]
    return [tuple(tag for own in by_taxonomy for tag in own[image]) for image in range(images)]


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
        reason=np.concatenate([part.reason for part in parts]),
        nearest=np.concatenate([part.nearest for part in parts]),
        source=parts[0].source,
    )
