"""Arithmetic of review plans: batch sizes, near-duplicates, inclusion probabilities. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.types import Floats

Indices = npt.NDArray[np.intp]

#: Looks at a plan's results; each has twice the items of the one before.
LOOKS = 3
#: Images are near-duplicates if their perceptual hashes differ in at most so many of 64 bits, or their vectors are
#: closer than this.
BITS, COSINE = 8, 0.97
CLUSTER_RULE = f"phash <= {BITS} or cosine > {COSINE}"
_ROWS = 512  # compared with all others at once


def batch(target: float) -> int:
    """Reviews before the first look: twice as many as prove ``target`` at 95 % confidence if none is wrong.

    60, 120 and 300 for .90, .95 and .98.
    """
    least = math.log(0.05) / math.log(target)
    return 10 * math.ceil(2 * math.ceil(least) / 10)


def share(look: int) -> float:
    """What part of δ a look may spend, counted from 0 over all plans about the same label.

    A half, a quarter, an eighth …: together never more than δ, however many plans are made after one that failed.
    """
    return float(0.5 ** (look + 1))


def looks(first: int, size: int) -> tuple[int, ...]:
    """After how many items of a frame of this size its decisions may be judged, ascending."""
    planned = (min(first * 2**look, size) for look in range(LOOKS))
    return tuple(dict.fromkeys(each for each in planned if each))


def clusters(phashes: npt.NDArray[np.uint64], vectors: Floats, random: np.random.Generator) -> Indices:
    """Group near-duplicates: each image that is in no cluster yet starts one with all free images that are near it.

    Args:
        phashes: ``[n]``.
        vectors: ``[n, d]`` of unit length.
        random: chooses the order in which images start clusters.

    Returns:
        ``[n]``: the number of each image's cluster.
    """
    found = np.full(len(phashes), -1, dtype=np.intp)
    order = random.permutation(len(phashes))
    count = 0
    for start in range(0, len(order), _ROWS):
        starting = order[start : start + _ROWS]
        starting = starting[found[starting] == -1]
        free = order[start:][found[order[start:]] == -1]  # all that is before them has a cluster
        near = _near(phashes, vectors, starting, free)
        for row, image in enumerate(starting):
            if found[image] == -1:
                alike = free[near[row]]
                found[alike[found[alike] == -1]] = count
                found[image] = count  # a vector's product with itself may be less than one
                count += 1
    return found


def _near(phashes: npt.NDArray[np.uint64], vectors: Floats, some: Indices, others: Indices) -> npt.NDArray[np.bool_]:
    """``[some, others]``: which are near-duplicates."""
    bits = np.bitwise_count(phashes[some, np.newaxis] ^ phashes[others])
    near: npt.NDArray[np.bool_] = (bits <= BITS) | (vectors[some] @ vectors[others].T > COSINE)
    return near


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """The drawn images, in the order of review."""

    places: Indices  # [size], index of the candidate
    probability: npt.NDArray[np.float64]  # [size], with which each was included
    alike: Indices  # [size], candidates in its cluster


def frame(shares: npt.NDArray[np.float64], of: Indices, size: int, random: np.random.Generator) -> Frame:
    """Draw clusters, and one image of each.

    ``1 / probability`` of all items adds up to the number of images that the candidates were drawn from, on average
    over all draws (Horvitz and Thompson, JASA 47, 1952).

    Args:
        shares: ``[n]``, with what probability each candidate was drawn.
        of: ``[n]``, the cluster of each.
        size: most items.
        random: makes the draws.
    """
    order = random.permutation(len(of))
    _, first = np.unique(of[order], return_index=True)  # the first in a random order: each is equally likely
    representatives = order[first]  # by cluster
    alike = np.bincount(of)
    drawn = random.permutation(len(representatives))[:size]
    places = representatives[drawn]
    probability = shares[places] / alike[drawn] * (len(drawn) / max(len(representatives), 1))
    return Frame(places=places, probability=probability, alike=alike[drawn])
