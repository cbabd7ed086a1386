"""Compares stored tags with those that would be written now. Pure arithmetic over arrays."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from worker.tagging.decisions import Decisions
from worker.tagging.taxonomy import Taxonomy
from worker.types import MODEL_SOURCES, SUGGESTION, Floats

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Sources = npt.NDArray[np.int8]

_SUGGESTION = MODEL_SOURCES.index(SUGGESTION)


@dataclass(slots=True)
class Vocabulary:
    """Numbers every answer that occurs: a taxonomy with a label, or with None for none of these.

    Only ever grows; threads may share it.
    """

    answers: list[tuple[str, str | None]] = field(default_factory=list)
    _numbers: dict[tuple[str, str | None], int] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, taxonomies: Iterable[Taxonomy]) -> Vocabulary:
        """The answers that these taxonomies can give."""
        made = cls()
        for taxonomy in taxonomies:
            for label in (None, *(label.name for label, _ in taxonomy.walk())):
                made.number(taxonomy.name, label)
        return made

    def number(self, taxonomy: str, label: str | None) -> int:
        """The answer's number; a new one if it has none."""
        with self._mutex:
            found = self._numbers.setdefault((taxonomy, label), len(self.answers))
            if found == len(self.answers):
                self.answers.append((taxonomy, label))
            return found


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """k pairs of an image and an answer, each pair once."""

    images: Indices  # [k], row of the image in the batch
    answers: Indices  # [k], number in the vocabulary
    score: Floats  # [k]
    probability: Floats  # [k]
    sources: Sources  # [k], indices into ``MODEL_SOURCES``

    @property
    def suggested(self) -> Flags:
        """``[k]``: readers do not see them as tags."""
        found: Flags = self.sources == _SUGGESTION
        return found


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoredAnswers(Answers):
    """What the catalog has."""

    ids: npt.NDArray[np.int64]  # [k], of the rows
    current: Flags  # [k], whether the version is the one in ``new``


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TagDiff:
    """The writes that turn the stored answers into the new ones."""

    stored: StoredAnswers
    new: Answers
    gone: Indices  # of ``stored``: holds no longer
    come: Indices  # of ``new``: did not hold before
    kept_stored: Indices  # of ``stored``: holds before and after …
    kept_new: Indices  # … and of ``new``, in the same order
    renewed: Flags  # of the kept ones, whether version, source or numbers differ

    @property
    def images(self) -> Indices:
        """Rows of the images with anything to write, ascending."""
        renewed = self.stored.images[self.kept_stored[self.renewed]]
        return np.unique(np.concatenate([self.stored.images[self.gone], self.new.images[self.come], renewed]))

    @property
    def disappearing(self) -> Indices:
        """Of ``stored``: readers see them before and not after."""
        kept = self.kept_stored[self.new.suggested[self.kept_new]]
        found = np.concatenate([self.gone, kept]) if len(kept) else self.gone
        return found[~self.stored.suggested[found]]

    @property
    def appearing(self) -> Indices:
        """Of ``new``: readers see them after and not before."""
        kept = self.kept_new[self.stored.suggested[self.kept_stored]]
        found = np.concatenate([self.come, kept]) if len(kept) else self.come
        return found[~self.new.suggested[found]]


def answers(decisions: Sequence[Decisions], vocabulary: Vocabulary) -> Answers:
    """All decisions about a batch, numbered."""
    if not decisions:
        none = np.empty(0, dtype=np.intp)
        sources = np.empty(0, dtype=np.int8)
        return Answers(images=none, answers=none, score=_floats(), probability=_floats(), sources=sources)
    numbers = [_numbers(each, vocabulary)[each.label] for each in decisions]  # -1 is the last one: none of these
    return Answers(
        images=np.concatenate([each.images for each in decisions]),
        answers=np.concatenate(numbers),
        score=np.concatenate([each.score for each in decisions]),
        probability=np.concatenate([each.probability for each in decisions]),
        sources=np.concatenate([each.sources for each in decisions]),
    )


def tag_diff(stored: StoredAnswers, new: Answers) -> TagDiff:
    """Compare the stored answers of a batch with the desired ones."""
    span = 1 + max(stored.answers.max(initial=0), new.answers.max(initial=0))
    before, after = stored.images * span + stored.answers, new.images * span + new.answers
    _, kept_stored, kept_new = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    same = (
        stored.current[kept_stored]
        & (stored.score[kept_stored] == new.score[kept_new])
        & (stored.probability[kept_stored] == new.probability[kept_new])
        & (stored.sources[kept_stored] == new.sources[kept_new])
    )
    return TagDiff(
        stored=stored,
        new=new,
        gone=_others(len(before), kept_stored),
        come=_others(len(after), kept_new),
        kept_stored=kept_stored,
        kept_new=kept_new,
        renewed=~same,
    )


def _numbers(decisions: Decisions, vocabulary: Vocabulary) -> Indices:
    name = decisions.taxonomy.name
    return np.array([vocabulary.number(name, label) for label in (*decisions.labels, None)], dtype=np.intp)


def _others(count: int, kept: Indices) -> Indices:
    left = np.ones(count, dtype=bool)
    left[kept] = False
    return np.flatnonzero(left)


def _floats() -> Floats:
    return np.empty(0, dtype=np.float32)
