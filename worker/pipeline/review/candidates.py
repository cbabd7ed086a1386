"""Which images may be asked about: those with a label, and those that nearly have it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worker import catalog
from worker.catalog.review_candidates import FEW, Asked
from worker.db import Connection
from worker.pipeline.review.subject import Subject
from worker.tagging import Tagger
from worker.tagging.label_probabilities import LabelProbabilities, label_probabilities

#: Images asked about: all of a smaller catalog, a uniform sample of a larger one.
EXAMINED = 50_000
#: Images whose vectors are read, to find those that nearly have a label.
SCORED = 10_000
#: Least probability of a label that does not hold, to be asked about.
LEAST = 0.2
#: The same where the whole taxonomy is asked about: all images that it applies to, so that a draw is one from all.
_LEAST_OF_ALL = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An image, and the label that is asked about."""

    image: int
    label: str
    probability: float
    given: bool  # whether the model gives the label


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """Candidates that were all found with the same probability."""

    found: Sequence[Candidate]
    share: float  # of all such images in the catalog that could be found
    total: int  # that were found, of which ``found`` are the first

    @property
    def population(self) -> float:
        """How many such images the catalog has."""
        return self.total / self.share


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much of the catalog was examined."""

    images: int
    total: int
    exact: bool  # whether the total was counted
    drawn: tuple[int, ...] | None  # None: all

    @property
    def share(self) -> float:
        """Of all images."""
        return 1.0 if self.drawn is None else self.images / max(self.total, 1)


def extent(connection: Connection, space: int, *, seed: int) -> Extent:
    """All images of a space, or a uniform sample that is read in bounded time."""
    total, exact = catalog.bulk_read.count_vectors(connection, space)
    if exact and total <= EXAMINED:
        return Extent(images=total, total=total, exact=True, drawn=None)
    drawn = tuple(catalog.bulk_read.uniform_sample(connection, space, size=EXAMINED, seed=seed))
    return Extent(images=len(drawn), total=max(total, len(drawn)), exact=exact, drawn=drawn)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finder:
    """Finds candidates in one snapshot."""

    connection: Connection
    subject: Subject
    tagger: Tagger
    extent: Extent
    seed: int
    skipped: Sequence[int]  # images about which people were unsure

    @property
    def asked(self) -> Asked:
        """For the catalog."""
        return Asked(
            space=self.subject.space.id,
            taxonomy=self.subject.taxonomy.name,
            label=self.subject.label,
            drawn=self.extent.drawn,
            skipped=self.skipped,
            seed=self.seed,
        )

    def given(self, *, limit: int, nearest: bool = False) -> Stratum:
        """Images to which the model gives the label: at random, or the least certain first."""
        asked, share = self.asked, self.extent.share
        if asked.drawn is not None and self._is_rare():
            asked, share = replace(asked, drawn=None), 1.0
        if nearest:
            thresholds = json.dumps(self.subject.thresholds)
            rows, total = catalog.review_candidates.nearest(self.connection, asked, thresholds, limit=limit)
        else:
            rows, total = catalog.review_candidates.scattered(self.connection, asked, limit=limit)
        found = [
            Candidate(image=row.image, label=row.label, probability=row.probability or 0.0, given=True)
            for row in rows
            if row.label is not None
        ]
        return Stratum(found=found, share=share, total=total)

    def near(self) -> Stratum:
        """Images to which the model does not give the label, although it is the nearest one at its level, or, where
        labels are judged one by one, probable enough; in random order. Without a label, however improbable it is.
        """
        images, total = self._unlabelled()
        read, vectors = catalog.bulk_read.read_vectors(self.connection, self.subject.space, images)
        found = list(self._scored(read.tolist(), vectors))
        order = {image: place for place, image in enumerate(images)}
        found.sort(key=lambda each: order[each.image])
        share = self.extent.share * (len(images) / total if total else 1.0)
        return Stratum(found=found, share=share, total=len(found))

    def _is_rare(self) -> bool:
        label = self.subject.label
        return label is not None and catalog.review_candidates.is_rare(
            self.connection, self.subject.taxonomy.name, label, most=FEW
        )

    @property
    def _least(self) -> float:
        return _LEAST_OF_ALL if self.subject.label is None else LEAST

    def _unlabelled(self) -> tuple[list[int], int]:
        subject = self.subject
        if subject.label is not None and (subject.one_by_one or subject.parent is not None):
            return catalog.review_candidates.without(self.connection, self.asked, parent=subject.parent, limit=SCORED)
        if subject.one_by_one:
            return [], 0
        rows, total = catalog.review_candidates.abstentions(
            self.connection, self.asked, least=self._least, limit=SCORED
        )
        return [row.image for row in rows], total

    def _scored(self, images: Sequence[int], vectors: np.ndarray) -> Iterator[Candidate]:
        done = 0
        for part in label_probabilities(self.tagger, vectors):
            count = part.probability.shape[1]
            yield from self._nearly(part, images[done : done + count])
            done += count

    def _nearly(self, part: LabelProbabilities, images: Sequence[int]) -> Iterator[Candidate]:
        label = self.subject.label
        if label is not None and label not in part.labels:  # it has no prompts, and no head knows it
            return
        level = part.level == (0 if label is None else part.level[part.labels.index(label)])
        rows = np.flatnonzero(level)
        if label is not None and self.subject.one_by_one and self.subject.parent is None:
            rows = np.array([part.labels.index(label)])
        best = rows[part.probability[rows].argmax(axis=0)]
        for place, row in enumerate(best.tolist()):
            probability = float(part.probability[row, place])
            wanted = label is None or part.labels[row] == label
            if wanted and probability >= self._least and not part.holds[row, place]:
                yield Candidate(image=images[place], label=part.labels[row], probability=probability, given=False)
