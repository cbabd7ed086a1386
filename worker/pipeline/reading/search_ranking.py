"""The beginning of all images in the order of a search, from the catalog and from every example's vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worker import catalog
from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter
from worker.catalog.search import Hit, Nearest
from worker.catalog.spaces import Space
from worker.db import Connection
from worker.pipeline.reading.example_scores import ExampleScores, Nearness
from worker.pipeline.reading.examples import Example
from worker.pipeline.reading.relevance import IMAGE, TEXT, QueryMix, Relevance, RelevanceScale
from worker.pipeline.reading.search_page import RankedImage, Ranking
from worker.pipeline.reading.search_values import ExampleMatch
from worker.types import Floats

#: Images that are compared by all examples: those nearest to each positive one, as many together.
_CANDIDATES, _LEAST_CANDIDATES = 500, 50


class FindsNearest(Protocol):
    """``catalog.search.nearest`` or a :class:`FilteredSearch`."""

    def __call__(
        self,
        connection: Connection,
        space: Space,
        vector: Floats,
        *,
        limit: int,
        filter_: ImageFilter = EVERY_IMAGE,
        exact: bool = False,
    ) -> Nearest: ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ComparedExamples:
    """The examples of a query, and how they score images."""

    scores: ExampleScores
    like: tuple[Example, ...]
    unlike: tuple[Example, ...]
    of_rows: Sequence[int]  # of each vector in ``scores``: the place of its example in ``like`` or ``unlike``

    def mix(self) -> QueryMix:
        """What the direction of ``average`` is made of."""
        weights: dict[str, float] = {}
        sides = [self.like] * len(self.scores.positive) + [self.unlike] * len(self.scores.negative)
        for weight, side, place in zip(self.scores.weights(), sides, self.of_rows, strict=True):
            kind = "words" if side[place].modality == "text" else "images"
            name = kind if weight > 0 else f"unlike_{kind}"
            weights[name] = weights.get(name, 0.0) + abs(float(weight))
        return QueryMix(**weights)

    def match(self, nearness: Nearness | None, row: int, *, first: int = 0) -> ExampleMatch | None:
        """The nearest example of one side to the image in a row; ``first`` is the place of the side's first vector."""
        if nearness is None:
            return None
        example = self.of_rows[first + int(nearness.examples[row])]
        return ExampleMatch(example=example, similarity=float(nearness.similarities[row]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranker:
    """Ranks images in one snapshot."""

    connection: Connection
    space: Space
    examples: ComparedExamples
    filter: ImageFilter  # with resolved names
    exact: bool
    nearest: FindsNearest
    relevance: Relevance | None  # None: hits get none

    def ranked(self, most: int) -> Ranking:
        """The best ``most`` images, or all that there are."""
        if self.examples.scores.strategy == "average":
            found = self._near(self.examples.scores.direction(), most)
            images = list(self._scored(found.hits, by_direction=True))
            return Ranking(images=images, ended=len(images) < most, exact=found.exact, complete=found.complete)
        return self._ranked_by_best(most)

    def scored(self, hits: Sequence[Hit]) -> list[RankedImage]:
        """Hits found in another way, with their scores."""
        return list(self._scored(hits, by_direction=self.examples.scores.strategy == "average"))

    def least_score(self, least_relevance: float, *, certain: bool) -> float | None:
        """No image with a lower score has this relevance, or next to none if not ``certain``; None: not known."""
        if self.relevance is None or self.examples.scores.strategy != "average":
            return None
        scale = self._scale(self.examples.scores.direction(), self.examples.mix())
        return None if scale is None else scale.least_similarity(least_relevance, certain=certain)

    def _ranked_by_best(self, most: int) -> Ranking:
        """From the images nearest to each positive example: those nearest to any of them are among these."""
        scores = self.examples.scores
        each = max(most, _LEAST_CANDIDATES, _CANDIDATES // max(len(scores.positive), 1))
        towards = scores.positive if len(scores.positive) else [scores.direction()]
        answers = [self._near(vector, each) for vector in towards]
        ended = any(len(answer.hits) < each for answer in answers)
        hits = list({hit.image_id: hit for answer in answers for hit in answer.hits}.values())
        images = sorted(self._scored(hits, by_direction=False), key=lambda one: (-one.score, one.hit.image_id))
        return Ranking(
            images=images if ended else images[:most],
            ended=ended,
            exact=(ended or not len(scores.negative)) and all(answer.exact for answer in answers),
            complete=all(answer.complete for answer in answers),
        )

    def _near(self, vector: Floats, limit: int) -> Nearest:
        return self.nearest(self.connection, self.space, vector, limit=limit, filter_=self.filter, exact=self.exact)

    def _scored(self, hits: Sequence[Hit], *, by_direction: bool) -> Iterator[RankedImage]:
        """Hits with their scores, relevances and nearest examples, in the given order."""
        scores = self.examples.scores
        if scores.is_plain and self.relevance is None:
            yield from map(_plain, hits)
            return
        ids, vectors = catalog.bulk_read.read_vectors(self.connection, self.space, [hit.image_id for hit in hits])
        where = {int(image): row for row, image in enumerate(ids)}
        relevances = self._relevances({hit.image_id: hit.similarity for hit in hits}, ids.tolist(), vectors)
        own = scores.scores(vectors)
        like, unlike = scores.nearest_positive(vectors), scores.nearest_negative(vectors)
        for hit in hits:
            row = where[hit.image_id]
            wanted = self.examples.match(like, row)
            unwanted = self.examples.match(unlike, row, first=len(scores.positive))
            nearest = wanted or unwanted
            plain = scores.is_plain or nearest is None
            yield RankedImage(
                hit=hit,
                score=hit.similarity if by_direction else float(own[row]),
                similarity=hit.similarity if plain or nearest is None else nearest.similarity,
                relevance=None if relevances is None else float(relevances[row]),
                like=wanted,
                unlike=unwanted,
            )

    # -- relevance -----------------------------------------------------------------------------------------------------
    def _relevances(self, found: Mapping[int, float], ids: Sequence[int], vectors: Floats) -> Floats | None:
        """``[k]``; None if there is no scale: too few images, or only negative examples."""
        scores = self.examples.scores
        if self.relevance is None or not len(scores.positive):
            return None
        if scores.strategy == "average":
            scale = self._scale(scores.direction(), self.examples.mix())
            return None if scale is None else scale(np.array([found[each] for each in ids], np.float32), vectors)
        by_example = []
        for vector, place in zip(scores.positive, self.examples.of_rows, strict=False):
            kind = TEXT if self.examples.like[place].modality == "text" else IMAGE
            scale = self._scale(vector, kind)
            if scale is None:
                return None
            by_example.append(scale(vectors @ vector, vectors))
        best: Floats = np.max(by_example, axis=0)
        return best

    def _scale(self, vector: Floats, mix: QueryMix) -> RelevanceScale | None:
        return None if self.relevance is None else self.relevance.scale(self.connection, self.space, vector, mix)


def _plain(hit: Hit) -> RankedImage:
    match = ExampleMatch(example=0, similarity=hit.similarity)
    return RankedImage(
        hit=hit, score=hit.similarity, similarity=hit.similarity, relevance=None, like=match, unlike=None
    )
