"""Counts the differences that a change of taxonomies would make, label by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from worker.tagging.abstentions import AbstentionCounts
from worker.tagging.tag_diff import Answers, Indices, TagDiff, Vocabulary

#: How a label on an image changes. Exactly one of these for each label that holds before or after.
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HumanDecisions:
    """What people have decided about a batch: k pairs of an image and a model's answer that is hidden."""

    images: Indices  # [k], row of the image in the batch
    answers: Indices  # [k], number of the answer
    whole: npt.NDArray[np.bool_]  # [k], whether every answer of its taxonomy is hidden


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Keys:
    """Pairs of an image and a taxonomy as numbers, by the vocabulary of one moment."""

    names: Sequence[str]  # of the taxonomies
    taxonomy: Indices  # of each answer
    is_label: npt.NDArray[np.bool_]  # whether it is one

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> _Keys:
        names: dict[str, int] = {}
        answers = tuple(vocabulary.answers)  # it may grow meanwhile
        taxonomy = [names.setdefault(name, len(names)) for name, _ in answers]
        is_label = [label is not None for _, label in answers]
        return cls(
            names=tuple(names), taxonomy=np.array(taxonomy, dtype=np.intp), is_label=np.array(is_label, dtype=bool)
        )

    def __call__(self, of: Answers | HumanDecisions) -> Indices:
        keys: Indices = of.images * len(self.names) + self.taxonomy[of.answers]
        return keys

    def exact(self, of: Answers | HumanDecisions) -> Indices:
        """Pairs of an image and an answer as numbers."""
        keys: Indices = of.images * len(self.taxonomy) + of.answers
        return keys


def _hidden(keys: _Keys, of: Answers, decided: HumanDecisions) -> npt.NDArray[np.bool_]:
    """Which answers people's decisions hide."""
    whole = np.isin(keys(of), keys(decided)[decided.whole])
    found: npt.NDArray[np.bool_] = whole | np.isin(keys.exact(of), keys.exact(decided))
    return found


@dataclass(slots=True)
class MoveCounts:
    """Sums over batches: what readers would see. Memory grows with the kinds of moves that were met, not with images.

    Readers do not see answers of the model that a person's decision hides. They are in no sum but ``hidden`` and
    ``unseen``. Suggestions are in ``suggested`` alone.
    """

    vocabulary: Vocabulary
    images: int = 0
    before: Counter[int] = field(default_factory=Counter)  # answer → images
    after: Counter[int] = field(default_factory=Counter)
    moves: Counter[Move] = field(default_factory=Counter)
    examples: dict[Move, list[Example]] = field(default_factory=dict)
    touched: int = 0  # images with anything to write, if only a version
    changed: int = 0  # images of which a label came or went
    hidden: Counter[str] = field(default_factory=Counter)  # taxonomy → images of which one would, but for a person
    unseen: int = 0  # images of which labels would have come or gone, but for people; not in ``changed``
    suggested: Counter[int] = field(default_factory=Counter)  # answer → images to which it is only suggested, after
    abstentions: AbstentionCounts = field(default_factory=AbstentionCounts)  # after

    def add(self, found: TagDiff, images: npt.NDArray[np.int64], decided: HumanDecisions) -> None:
        """Count a batch.

        Args:
            found: the differences.
            images: ``[n]``, the numbers of the batch's images.
            decided: by people.
        """
        keys = _Keys.of(self.vocabulary)
        old, new = keys(found.stored), keys(found.new)
        shows_old, shows_new = (~_hidden(keys, of, decided) for of in (found.stored, found.new))
        self.images += len(images)
        self.touched += len(found.images)
        _count(self.before, found.stored.answers[shows_old & ~found.stored.suggested], len(keys.taxonomy))
        _count(self.after, found.new.answers[shows_new & ~found.new.suggested], len(keys.taxonomy))
        _count(self.suggested, found.new.answers[shows_new & found.new.suggested], len(keys.taxonomy))
        gone, come = found.disappearing, found.appearing
        gone = gone[keys.is_label[found.stored.answers[gone]]]
        come = come[keys.is_label[found.new.answers[come]]]
        parts = list(self._parts(found, keys, gone[shows_old[gone]], come[shows_new[come]]))
        changed = np.unique(np.concatenate([rows for _, _, _, rows, _ in parts]))
        self.changed += len(changed)
        for kind, before, after, rows, probability in parts:
            self._moved(kind, before, after, images[rows], probability)
        self._hid(np.concatenate([old[gone[~shows_old[gone]]], new[come[~shows_new[come]]]]), keys, changed)

    def _hid(self, hidden: Indices, keys: _Keys, changed: Indices) -> None:
        rows, taxonomies = np.divmod(np.unique(hidden), max(len(keys.names), 1))
        self.unseen += len(np.setdiff1d(rows, changed))
        for number, count in zip(*np.unique(taxonomies, return_counts=True), strict=True):
            self.hidden[keys.names[number]] += int(count)

    def _parts(
        self, found: TagDiff, keys: _Keys, gone: Indices, come: Indices
    ) -> Iterator[tuple[Kind, Indices, Indices, Indices, npt.NDArray[np.float32]]]:
        """(kind, answers before, answers after, rows, probabilities); -1 in place of an answer: not any."""
        old, new = keys(found.stored), keys(found.new)
        left, came = old[gone], new[come]
        abstains = new[~keys.is_label[found.new.answers]]
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
        self, kind: Kind, found: TagDiff, lost: Indices
    ) -> tuple[Kind, Indices, Indices, Indices, npt.NDArray[np.float32]]:
        nothing = np.full(len(lost), -1, dtype=np.intp)
        stored = found.stored
        return kind, stored.answers[lost], nothing, stored.images[lost], stored.probability[lost]

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
