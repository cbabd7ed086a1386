"""Clusters of unit vectors, and a sample in which small ones are seen.

Strata are clusters and not labels or buckets: every catalog has vectors, while taxonomies change and buckets follow
from how files are stored. Each cluster gets a share that grows with the square root of its size: a uniform sample would
have hardly any of a small group, and a map is fitted to what it has seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.types import Floats

Indices = npt.NDArray[np.intp]

_ROUNDS = 8
#: Vectors from which centres are found, for each of them.
_PER_CENTRE = 100
#: Vectors that are compared with all centres at once.
_BLOCK = 8_192


def centres(vectors: npt.NDArray[np.floating], count: int, *, seed: int) -> Floats:
    """Centres of clusters of unit vectors, ``[count, d]``, each of length 1; by spherical k-means.

    Args:
        vectors: ``[n, d]``, at least one.
        count: how many; at most n are made.
        seed: the same makes the same.
    """
    random = np.random.default_rng(seed)
    count = min(count, len(vectors))
    some = random.permutation(len(vectors))[: max(count * _PER_CENTRE, count)]
    seen = vectors[np.sort(some)].astype(np.float32)
    found = seen[random.choice(len(seen), count, replace=False)]
    for _ in range(_ROUNDS):
        nearest = assign(seen, found)
        sums = np.zeros_like(found)
        np.add.at(sums, nearest, seen)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        found = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), found)  # an empty one stays where it is
    return found


def assign(vectors: npt.NDArray[np.floating], centres_: Floats) -> Indices:
    """``[n]``: the nearest centre of each vector."""
    nearest = np.empty(len(vectors), np.intp)
    for first in range(0, len(vectors), _BLOCK):
        block = vectors[first : first + _BLOCK].astype(np.float32)
        nearest[first : first + _BLOCK] = (block @ centres_.T).argmax(axis=1)
    return nearest


def stratified(strata: Indices, size: int, *, seed: int) -> Indices:
    """A sample of ``size`` places in ``strata``, ascending, or all of them if there are no more.

    Args:
        strata: ``[n]``, the stratum of each.
        size: how many.
        seed: the same draws the same.
    """
    if len(strata) <= size:
        return np.arange(len(strata))
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    counts = np.bincount(strata)
    quotas = np.repeat(_quotas(counts, size), counts)
    rank = np.arange(len(strata)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(shuffled[rank < quotas])


def _quotas(counts: Indices, size: int) -> Indices:
    """How many of each stratum: in proportion to the root of its size, and never more than it has."""
    quotas = np.zeros(len(counts), np.intp)
    while (left := size - int(quotas.sum())) > 0:
        weights = np.where(quotas < counts, np.sqrt(counts), 0.0)
        more = np.floor(left * weights / weights.sum()).astype(np.intp)
        if not more.any():  # fewer are left than strata: one each, to the largest
            more[np.argsort(-weights, kind="stable")[:left]] = 1
        quotas = np.minimum(quotas + more, counts)
    return quotas
