"""Vectors of a fixed random sample of the catalog, kept in memory between requests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker import catalog
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.common.estimates import Sampling
from worker.types import Floats

#: Bytes of vectors that are kept together: 10,000 of 1,152 dimensions fit.
_MOST_BYTES = 64 << 20
#: Seconds until a sample is drawn again. The draw is stable, so only new, changed and removed images differ.
_FRESH = 60.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VectorSample:
    """n images of a space."""

    images: npt.NDArray[np.int64]  # [n], their numbers, ascending
    vectors: Floats  # [n, d], of unit length
    sampling: Sampling  # of how many


class VectorSamples:
    """Draws samples and keeps them for a minute. Threads may share one."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing yet."""
        self._engine, self._clock = engine, clock
        self._kept: OrderedDict[tuple[int, int], tuple[float, VectorSample]] = OrderedDict()
        self._mutex = threading.Lock()

    def __call__(self, space: Space, size: int) -> VectorSample:
        """``size`` images of a space, or all if there are fewer; the same ones while the catalog stays the same."""
        key = (space.id, size)
        with self._mutex:  # others wait for the same sample, most likely
            until, found = self._kept.pop(key, (0.0, None))
            if found is None or until <= self._clock():
                found = self._drawn(space, size)
                until = self._clock() + _FRESH
            self._kept[key] = (until, found)
            while len(self._kept) > 1 and self._bytes() > _MOST_BYTES:
                self._kept.popitem(last=False)
            return found

    def _drawn(self, space: Space, size: int) -> VectorSample:
        with transaction(self._engine) as connection:
            total, exact = catalog.bulk_read.count_vectors(connection, space.id)
            drawn = catalog.stable_sample.stable_sample(connection, space.id, size=size)
            images, vectors = catalog.bulk_read.read_vectors(connection, space, drawn)
        if len(images) < size:
            total, exact = len(images), True
        sampling = Sampling(images=len(images), total=max(total, len(images)), exact=exact)
        return VectorSample(images=images, vectors=vectors, sampling=sampling)

    def _bytes(self) -> int:
        return sum(found.vectors.nbytes for _, found in self._kept.values())


__all__ = ["VectorSample", "VectorSamples"]
