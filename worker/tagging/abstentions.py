"""Counts images without a label, by why the nearest label does not hold. Pure arithmetic over arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from worker.tagging.decisions import Decisions
from worker.tagging.reasons import REASONS, LabelReason

_Rows = npt.NDArray[np.intp]
_NO_ROWS: Mapping[str, _Rows] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Abstention:
    """Why one image has no label of a taxonomy."""

    taxonomy: str
    reason: LabelReason
    nearest: str  # the label that came nearest, at the top
    score: float  # of that label
    probability: float


@dataclass(slots=True)
class AbstentionCounts:
    """Sums over batches. Memory grows with the labels, not with images."""

    asked: Counter[str] = field(default_factory=Counter)  # taxonomy → images to which it applies
    not_asked: Counter[str] = field(default_factory=Counter)  # … to which it does not: its condition is not met
    _labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _counts: dict[str, npt.NDArray[np.intp]] = field(default_factory=dict)  # [reasons × labels]

    def add(self, decided: Sequence[Decisions], images: int, hidden: Mapping[str, _Rows] = _NO_ROWS) -> None:
        """Count a batch.

        Args:
            decided: about the batch.
            images: how many there are in it.
            hidden: taxonomy → rows of images that are not to be counted in it.
        """
        for each in decided:
            name = each.taxonomy.name
            shown, asked = np.ones(images, dtype=bool), np.zeros(images, dtype=bool)
            shown[hidden.get(name, np.empty(0, dtype=np.intp))] = False
            asked[each.images] = True
            self.asked[name] += int(np.count_nonzero(asked & shown))
            self.not_asked[name] += int(np.count_nonzero(~asked & shown))
            none = (each.label == -1) & shown[each.images]
            pairs = each.reason[none].astype(np.intp) * len(each.labels) + each.nearest[none]
            counted = np.bincount(pairs, minlength=len(REASONS) * len(each.labels))
            self._labels[name] = each.labels
            self._counts[name] = self._counts[name] + counted if name in self._counts else counted

    def reasons(self, taxonomy: str) -> dict[LabelReason, Counter[str]]:
        """Reason → nearest label → images, without those that did not occur."""
        if taxonomy not in self._counts:
            return {}
        labels = self._labels[taxonomy]
        counts = self._counts[taxonomy].reshape(len(REASONS), len(labels))
        return {
            REASONS[row]: Counter({labels[place]: int(counts[row, place]) for place in np.flatnonzero(counts[row])})
            for row in np.flatnonzero(counts.any(axis=1))
        }


def abstentions(decided: Sequence[Decisions], images: int) -> list[tuple[Abstention, ...]]:
    """For each image of a batch, the taxonomies that apply and give it no label."""
    found: list[list[Abstention]] = [[] for _ in range(images)]
    for each in decided:
        for place in np.flatnonzero(each.label == -1).tolist():
            found[each.images[place]].append(
                Abstention(
                    taxonomy=each.taxonomy.name,
                    reason=REASONS[each.reason[place]],
                    nearest=each.labels[each.nearest[place]],
                    score=float(each.score[place]),
                    probability=float(each.probability[place]),
                )
            )
    return [tuple(own) for own in found]
