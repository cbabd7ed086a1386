"""Counting differences: what a change of taxonomies would do, label by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from worker.tagging.difference import Difference, Indices, Vocabulary

#: What became of a label on an image. Exactly one of these for each label that holds before or after.
#: flipped: one label of the taxonomy went and one came; abstained: it went, and now it is none of these.
Kind: TypeAlias = Literal["unchanged", "added", "removed", "flipped", "abstained"]

#: Examples kept of each kind of change.
EXAMPLES = 5


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Move:
    """A change that one image can undergo in one taxonomy."""

    kind: Kind
    before: int | None  # number of the answer in the vocabulary
    after: int | None


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Example:
    """An image that made a move. Those with the lowest rank are kept: a sample that is the same at every run."""

    rank: int
    image: int
    probability: float  # of the answer after the move; where that is none, of the one before it


@dataclass(slots=True)
class Tally:
    """Sums over batches. Memory grows with the kinds of moves that were met, not with images."""

    vocabulary: Vocabulary
    images: int = 0
    before: Counter[int] = field(default_factory=Counter)  # answer → images
    after: Counter[int] = field(default_factory=Counter)
    moves: Counter[Move] = field(default_factory=Counter)
    examples: dict[Move, list[Example]] = field(default_factory=dict)
    touched: int = 0  # images with anything to write, if only a version
    changed: int = 0  # images of which a label came or went

    def add(self, found: Difference, images: npt.NDArray[np.int64]) -> None:
        """Count a batch.

        Args:
            found: the differences.
            images: ``[n]``, the numbers of the batch's images.
        """
        size = len(self.vocabulary.answers)
        self.images += len(images)
        self.touched += len(found.images)
        _count(self.before, found.stored.answers, size)
        _count(self.after, found.new.answers, size)
        parts = list(self._parts(found))
        self.changed += len(np.unique(np.concatenate([rows for _, _, _, rows, _ in parts])))
        for kind, before, after, rows, probability in parts:
            self._moved(kind, before, after, images[rows], probability)

    def _parts(self, found: Difference) -> Iterator[tuple[Kind, Indices, Indices, Indices, npt.NDArray[np.float32]]]:
        """(kind, answers before, answers after, rows, probabilities); -1 in place of an answer: not any."""
        taxonomy, is_label = self._tables()
        count = int(taxonomy.max(initial=0)) + 1
        gone = found.gone[is_label[found.stored.answers[found.gone]]]
        come = found.come[is_label[found.new.answers[found.come]]]
        left = found.stored.images[gone] * count + taxonomy[found.stored.answers[gone]]
        came = found.new.images[come] * count + taxonomy[found.new.answers[come]]
        none = ~is_label[found.new.answers]
        abstains = found.new.images[none] * count + taxonomy[found.new.answers[none]]
        flips = np.intersect1d(_single(left), _single(came), assume_unique=True)
        flip_left, flip_came = np.isin(left, flips), np.isin(came, flips)
        gone_in_order = gone[flip_left][np.argsort(left[flip_left], kind="stable")]
        come_in_order = come[flip_came][np.argsort(came[flip_came], kind="stable")]
        yield (
            "flipped",
            found.stored.answers[gone_in_order],
            found.new.answers[come_in_order],
            found.new.images[come_in_order],
            found.new.probability[come_in_order],
        )
        lost = gone[~flip_left]
        abstained = np.isin(left[~flip_left], abstains)
        yield self._one_sided("abstained", found, lost[abstained])
        yield self._one_sided("removed", found, lost[~abstained])
        new = come[~flip_came]
        nothing = np.full(len(new), -1, dtype=np.intp)
        yield "added", nothing, found.new.answers[new], found.new.images[new], found.new.probability[new]

    def _one_sided(
        self, kind: Kind, found: Difference, lost: Indices
    ) -> tuple[Kind, Indices, Indices, Indices, npt.NDArray[np.float32]]:
        nothing = np.full(len(lost), -1, dtype=np.intp)
        stored = found.stored
        return kind, stored.answers[lost], nothing, stored.images[lost], stored.probability[lost]

    def _tables(self) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """For each answer the number of its taxonomy, and whether it is a label."""
        names: dict[str, int] = {}
        taxonomy = [names.setdefault(name, len(names)) for name, _ in self.vocabulary.answers]
        is_label = [label is not None for _, label in self.vocabulary.answers]
        return np.array(taxonomy, dtype=np.intp), np.array(is_label, dtype=bool)

    def _moved(
        self,
        kind: Kind,
        before: Indices,
        after: Indices,
        images: npt.NDArray[np.int64],
        probability: npt.NDArray[np.float32],
    ) -> None:
        rank = _ranks(images)
        order = np.lexsort((rank, after, before))
        before, after, rank = before[order], after[order], rank[order]
        images, probability = images[order], probability[order]
        starts = np.flatnonzero(np.diff(before, prepend=-2) | np.diff(after, prepend=-2))
        for start, end in zip(starts, [*starts, len(order)][1:], strict=True):
            move = Move(kind=kind, before=_answer(before[start]), after=_answer(after[start]))
            self.moves[move] += int(end - start)
            some = range(start, min(end, start + EXAMPLES))
            new = [Example(rank=int(rank[i]), image=int(images[i]), probability=float(probability[i])) for i in some]
            self.examples[move] = sorted([*self.examples.get(move, ()), *new])[:EXAMPLES]


def _count(into: Counter[int], numbers: Indices, size: int) -> None:
    counts = np.bincount(numbers, minlength=size)
    for number in np.flatnonzero(counts):
        into[int(number)] += int(counts[number])


def _single(keys: Indices) -> Indices:
    """The keys that occur exactly once."""
    found, counts = np.unique(keys, return_counts=True)
    single: Indices = found[counts == 1]
    return single


def _ranks(images: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    # The finaliser of SplitMix64: neighbouring numbers get ranks that look random.
    x = images.astype(np.uint64)
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _answer(number: np.intp) -> int | None:
    return None if number < 0 else int(number)
