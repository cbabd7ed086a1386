"""Places images on a map that is drawn: each at the weighted mean of the places of its nearest fitted neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.pipeline.maps import clusters
from worker.types import Floats

#: Neighbours of an image.
NEIGHBOURS: Final = 15
#: An image is poorly placed if its neighbours are farther away than those of all but this share of the fitted images.
_UNUSUAL: Final = 0.01
#: A neighbour whose distance beyond the nearest is that of the mean weighs exp(-3), a twentieth of the nearest.
_STEEPNESS: Final = 3.0
#: Fitted images in a list; so many lists are searched for each image.
_PER_LIST, _LISTS_SEARCHED = 200, 12
_MOST_LISTS = 256
#: Images that are placed at once: about 100 MB of similarities.
_BLOCK = 8_192
#: Fitted images whose neighbours are looked at to learn what is usual.
_LOOKED_AT = 5_000

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placed:
    """n images on a map."""

    places: Floats  # [n, 2]
    distances: Floats  # [n]: mean cosine distance of the neighbours, 0 to 2; the smaller, the surer is the place


class Placement:
    """Finds places among fitted images. The same images get the same places.

    Neighbours are looked for in the lists of the nearest 12 centres only (an inverted file, as in H. Jégou et al.,
    Product quantization for nearest neighbor search, 2011): up to 2,400 fitted images, that is all of them.
    """

    def __init__(self, vectors: Floats, places: Floats, *, seed: int) -> None:
        """Group the fitted images.

        Args:
            vectors: ``[n, d]``, of length 1; at least one.
            places: ``[n, 2]``.
            seed: of the groups.
        """
        wanted = min(max(len(vectors) // _PER_LIST, 1), _MOST_LISTS)
        self._centres = clusters.centres(vectors, wanted, seed=seed)
        # Of equal centres, which many equal vectors have, one gets them all. The empty lists would hide it.
        used, lists = np.unique(clusters.assign(vectors, self._centres), return_inverse=True)
        self._centres = self._centres[used]
        order = np.argsort(lists, kind="stable")
        self._vectors, self._places = vectors[order], places[order]
        self._ends = np.cumsum(np.bincount(lists, minlength=len(self._centres)))

    def place(self, vectors: Floats) -> Placed:
        """Places of images with these vectors, ``[n, d]``."""
        places = np.empty((len(vectors), 2), np.float32)
        distances = np.empty(len(vectors), np.float32)
        for first in range(0, len(vectors), _BLOCK):
            part = slice(first, first + _BLOCK)
            similarities, rows = self._nearest(vectors[part], NEIGHBOURS)
            places[part] = _weighted(similarities, self._places[rows])
            distances[part] = _distance(similarities)
        return Placed(places=places, distances=distances)

    def usual_distance(self) -> float:
        """From which distance of its neighbours on an image is poorly placed."""
        step = -(-len(self._vectors) // _LOOKED_AT)
        found = []
        for first in range(0, len(self._vectors), step * _BLOCK):
            some = self._vectors[first : first + step * _BLOCK : step]
            similarities, _ = self._nearest(some, NEIGHBOURS + 1)
            found.append(_distance(similarities[:, 1:]))  # without itself, or an equal one
        return float(np.quantile(np.concatenate(found), 1 - _UNUSUAL))

    def _nearest(self, vectors: Floats, count: int) -> tuple[Floats, Numbers]:
        """``[b, count]`` similarities, descending, and rows of fitted images; -inf where there are no more."""
        best = np.full((len(vectors), count), -np.inf, np.float32)
        rows = np.zeros((len(vectors), count), np.intp)
        near = _largest(vectors @ self._centres.T, min(_LISTS_SEARCHED, len(self._centres)))
        for number in range(len(self._centres)):
            first, last = (self._ends[number - 1] if number else 0), self._ends[number]
            asking = np.flatnonzero((near == number).any(axis=1))
            if not len(asking) or first == last:
                continue
            values = np.concatenate([best[asking], vectors[asking] @ self._vectors[first:last].T], axis=1)
            kept = _largest(values, count)
            of = np.where(
                kept < count, np.take_along_axis(rows[asking], np.minimum(kept, count - 1), 1), kept - count + first
            )
            best[asking], rows[asking] = np.take_along_axis(values, kept, 1), of
        order = np.argsort(-best, axis=1, kind="stable")
        return np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)


def _largest(values: Floats, count: int) -> Numbers:
    """``[n, count]``: the columns with the largest values, in any order."""
    if values.shape[1] <= count:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, -count, axis=1)[:, -count:]


def _distance(similarities: Floats) -> Floats:
    """Mean cosine distance; 2, the largest, where there are no neighbours."""
    found = np.isfinite(similarities)
    total = np.where(found, 1 - similarities, 0).sum(axis=1)
    mean: Floats = np.where(found.any(axis=1), np.clip(total / np.maximum(found.sum(axis=1), 1), 0, 2), 2)
    return mean


def _weighted(similarities: Floats, places: Floats) -> Floats:
    """``[n, 2]``: mean places of neighbours. Weights fall off with the distance beyond that of the nearest neighbour.

    Similar to how UMAP weighs neighbours (L. McInnes et al., 2018): relative to how far those of this image are. By the
    bare similarity, all fifteen would count nearly the same: an image would come to lie between groups, and a copy of a
    fitted image away from it.
    """
    beyond = np.where(np.isfinite(similarities), similarities[:, :1] - similarities, np.inf)
    finite = np.where(np.isfinite(beyond), beyond, 0)
    usual = finite.sum(axis=1, keepdims=True) / np.maximum(np.isfinite(beyond).sum(axis=1, keepdims=True) - 1, 1)
    weights = np.exp(-_STEEPNESS * beyond / np.maximum(usual, 1e-6))
    weights /= weights.sum(axis=1, keepdims=True)
    mean: Floats = (weights[:, :, None] * places).sum(axis=1)
    return mean
