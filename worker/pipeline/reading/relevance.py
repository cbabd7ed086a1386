"""Relevance of hits: reads a sample of the catalog and random texts' vectors, and keeps both for the next search."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from worker import catalog, logs
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, transaction
from worker.errors import EnrichError
from worker.tagging import neutral
from worker.tagging.relevance import DEFAULT_CUT, FEWEST_IMAGES, Null, RelevanceScale, distinct, null_of, scale_of
from worker.types import Floats

__all__ = ["DEFAULT_CUT", "IMAGE", "TEXT", "QueryMix", "Relevance", "RelevanceScale"]

_log = logs.get("pipeline")

#: Images whose vectors are kept: 2 MiB for 512 dimensions.
SAMPLE = 1_000
#: Images of the sample that stand in for random queries by image.
_RANDOM_IMAGES = 200
#: Seconds after which a full sample is drawn anew. A smaller one is of a catalog that may grow fast: proportionally
#: sooner.
_KEPT = 600.0
#: Seconds until a model that is not available is tried again.
_PAUSE = 60.0
#: Spaces whose samples are kept: the active one, and another around a switch.
_SPACES = 2
#: Kinds of mixes whose nulls are kept with a sample.
_MIXES = 16

EncodeTexts = Callable[[Space, Sequence[str]], Floats]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryMix:
    """What a query is made of: the weights of its examples, added up by kind. Only their ratios count.

    Raises:
        ValueError: nothing has a weight.
    """

    words: float = 0.0
    images: float = 0.0
    unlike_words: float = 0.0
    unlike_images: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a query that is made of nothing."""
        if not self.words + self.images + self.unlike_words + self.unlike_images > 0:
            raise ValueError("a query is made of something: give a weight")

    def rounded(self) -> QueryMix:
        """In eighths of the whole, so that few nulls are computed."""
        whole = self.words + self.images + self.unlike_words + self.unlike_images
        return QueryMix(
            words=_eighths(self.words / whole),
            images=_eighths(self.images / whole),
            unlike_words=_eighths(self.unlike_words / whole),
            unlike_images=_eighths(self.unlike_images / whole),
        )


TEXT, IMAGE = QueryMix(words=1.0), QueryMix(images=1.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Sample:
    """What is kept of a space."""

    vectors: Floats  # [n, d], unit length, each once
    drawn: float  # when, by the monotonic clock
    images: int  # with copies
    nulls: dict[QueryMix, Null] = field(default_factory=dict)


class Relevance:
    """Scales of queries in the catalog as it is now. One for a process; any thread may use it."""

    def __init__(
        self, engine: Engine, encode_texts: EncodeTexts, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read nothing yet.

        Args:
            engine: the database; used beside the caller's connection only to store vectors of random texts, once.
            encode_texts: gives unit vectors of texts in a space; called only where the database lacks those vectors.
            clock: seconds.
        """
        self._engine, self._encode, self._clock = engine, encode_texts, clock
        self._samples: dict[int, _Sample] = {}
        self._texts: dict[int, Floats] = {}
        self._not_before: dict[int, float] = {}  # space → when its model is tried again
        self._mutex = threading.Lock()

    def scale(
        self, connection: Connection, space: Space, vector: Floats, mix: QueryMix = TEXT
    ) -> RelevanceScale | None:
        """What similarities to a query mean; None if that cannot be known.

        The catalog may have too few images, or random texts must be encoded and the space's model is not available.

        It is relative to the whole catalog, whatever filter the search has.

        Args:
            connection: an open one; it only reads.
            space: where the search is.
            vector: the query, ``[d]`` of unit length: the direction that images are ordered by.
            mix: what it is made of.
        """
        with self._mutex:
            sample = self._sample(connection, space)
            if len(sample.vectors) < FEWEST_IMAGES:
                return None
            kind = mix.rounded()
            null = sample.nulls.pop(kind, None) or self._null(connection, space, sample.vectors, kind)
            if null is None:
                return None
            sample.nulls[kind] = null  # the last one used is the last to go
            for unused in list(sample.nulls)[:-_MIXES]:
                del sample.nulls[unused]
        return scale_of(vector, sample.vectors, null)

    def of_images(
        self, connection: Connection, space: Space, scale: RelevanceScale, similarities: Mapping[int, float]
    ) -> dict[int, float]:
        """The relevances of images by their ids, from their cosines with the query.

        An image that has no vector in the space has none.
        """
        ids, vectors = catalog.bulk_read.read_vectors(connection, space, list(similarities))
        cosines = np.array([similarities[each] for each in ids.tolist()], np.float32)
        return dict(zip(ids.tolist(), scale(cosines, vectors).tolist(), strict=True))

    def sample(self, connection: Connection, space: Space) -> Floats:
        """Vectors of randomly drawn images, ``[n, d]``: the ones that relevance is relative to."""
        with self._mutex:
            return self._sample(connection, space).vectors

    def _sample(self, connection: Connection, space: Space) -> _Sample:
        kept = self._samples.pop(space.id, None)
        if kept is None or self._is_old(kept):
            images = catalog.bulk_read.uniform_sample(connection, space.id, size=SAMPLE)
            _, vectors = catalog.bulk_read.read_vectors(connection, space, images)
            kept = _Sample(vectors=distinct(vectors), drawn=self._clock(), images=len(images))
        self._samples[space.id] = kept  # the last one used is the last to go
        for unused in list(self._samples)[:-_SPACES]:
            del self._samples[unused]
            self._texts.pop(unused, None)
        return kept

    def _is_old(self, sample: _Sample) -> bool:
        age = self._clock() - sample.drawn
        return len(sample.vectors) < FEWEST_IMAGES or age >= _KEPT * sample.images / SAMPLE

    def _null(self, connection: Connection, space: Space, images: Floats, mix: QueryMix) -> Null | None:
        """What random queries get that are mixed like this one; None without the random texts for it."""
        texts = self._random_texts(connection, space) if mix.words or mix.unlike_words else None
        if texts is None and (mix.words or mix.unlike_words):
            return None
        if texts is not None and not mix.images and not mix.unlike_images:
            others = np.roll(texts, len(texts) // 2, axis=0)
            return null_of(_units(mix.words * texts - mix.unlike_words * others), images, centred=True)
        own = np.random.default_rng(0).permutation(len(images))[:_RANDOM_IMAGES]
        queries = mix.images * images[own] - mix.unlike_images * images[np.roll(own, len(own) // 2)]
        if texts is not None:
            texts = np.resize(texts, queries.shape)
            queries += mix.words * texts - mix.unlike_words * np.roll(texts, len(texts) // 2, axis=0)
        return null_of(_units(queries), images, centred=False, own=own)

    def _random_texts(self, connection: Connection, space: Space) -> Floats | None:
        """``[t, d]``: the neutral prompts, from the database if any process has encoded them before."""
        if space.id not in self._texts:
            known = catalog.texts.known(connection, space.id, neutral.PROMPTS)
            if missing := [each for each in neutral.PROMPTS if each not in known]:
                encoded = self._encoded(space, missing)
                if encoded is None:
                    return None
                known |= encoded
            self._texts[space.id] = np.stack([known[each] for each in neutral.PROMPTS])
        return self._texts[space.id]

    def _encoded(self, space: Space, texts: Sequence[str]) -> dict[str, Floats] | None:
        """Text → vector, stored for all processes; None if the model is not available, which is not tried each time."""
        if self._clock() < self._not_before.get(space.id, -math.inf):
            return None
        try:
            vectors = dict(zip(texts, self._encode(space, texts), strict=True))
        except EnrichError as error:
            self._not_before[space.id] = self._clock() + _PAUSE
            _log.warning(f"hits have no relevance in space {space.id}: {error}", action="relevance", space=space.id)
            return None
        with transaction(self._engine) as own:
            catalog.texts.save(own, space.id, vectors)
        return vectors


def _units(rows: Floats) -> Floats:
    units: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return units.astype(np.float32)


def _eighths(share: float) -> float:
    return round(8 * share) / 8
