"""Relevance: what a similarity to a query means, from 0 to 1.

A cosine means nothing by itself: its scale differs between models, and between queries of one model. Two comparisons
give it a meaning. Both need only a sample of the catalog's images, and random queries: texts that have nothing to do
with this query.

    centred    = similarity - cos(image, mean random text)
    by catalog = (centred - middle) / (spread × top of random queries, in spreads)
    by null    = (centred - usual of random queries) / (top of random queries - usual of random queries)
    level      = (by catalog + by null) / 2
    relevance  = σ(SHARPNESS × (level - CENTRE))

*Centred*, because some images are near to every text. The *middle* of a query is the median of its similarities to the
sample. The *spread* is the standard deviation of the lower half, mirrored: images that show what is asked for are in
the upper half, and must not widen the scale that they are measured by. The *top* of a random query is exceeded by one
image in a hundred; of all random queries, the median is taken.

The first comparison asks how far a hit stands out among everything that this query could have found. The second asks
whether the best hits of a random text are as near: without it, the best hit of a query that nothing in the catalog
answers stands out as well. A level of 1 is what a random text's best hits have.

For a query by images, random images of the catalog take the place of the random texts, and nothing is centred. Random
queries for a mix are mixed likewise.

The numbers are the same for every model and kind of query. docs/explanation/relevance.md has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.types import Floats

#: The level at which a hit is as likely right as wrong, and how fast that changes: a logistic regression on text
#: queries with known answers, for two models.
CENTRE, SHARPNESS = 1.6, 3.4
#: The cut for callers that have no wish of their own.
DEFAULT_CUT = 0.5
#: With fewer images, a sample says too little about what a query gets.
FEWEST_IMAGES = 100
#: The share of images that random queries' best hits are among.
_BEST = 0.01
_TINY = 1e-6
#: What differs less from 1 is 1 in float32.
_ROUNDED_UP = 2.0**-25


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Null:
    """What random queries get in a sample."""

    usual: float  # mean similarity, centred if ``common`` is given
    top: float  # of their best hits, above that
    top_in_spreads: float  # above their own middle, in their own spreads
    common: Floats | None  # [d]: the mean random query, for queries that are centred
    least_common: float  # the least similarity of an image of the sample to it


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RelevanceScale:
    """Turns similarities to one query into relevances."""

    middle: float  # of the query's similarities to the sample
    spread: float
    null: Null

    def __call__(self, similarities: Floats, vectors: Floats) -> Floats:
        """The relevances ``[n]`` of images, each from 0 to 1.

        Args:
            similarities: ``[n]``, cosines with the query.
            vectors: ``[n, d]``, of the images, of unit length.
        """
        centred = np.asarray(similarities, np.float64)
        if self.null.common is not None:
            centred = centred - vectors @ self.null.common
        level = self._slope * centred - self._offset
        relevances: Floats = (1 / (1 + np.exp(-np.clip(SHARPNESS * (level - CENTRE), -60, 60)))).astype(np.float32)
        return relevances

    def least_similarity(self, relevance: float, *, certain: bool) -> float:
        """No image that is less similar has this relevance: a search by similarity may stop there.

        Minus infinite for 0.

        Args:
            relevance: 0 to 1.
            certain: whether that must hold for every image. Else it holds for those of the sample, and for nearly all
                others: one outside the sample may be still less similar to a random query. It is a higher similarity
                where queries are centred, and the same one where not.
        """
        if relevance <= 0:
            return -np.inf
        below_one = min(relevance, 1 - _ROUNDED_UP)
        level = CENTRE + np.log(below_one / (1 - below_one)) / SHARPNESS
        common = self.null.common
        least = -float(np.linalg.norm(common)) if certain and common is not None else self.null.least_common
        return float((level + self._offset) / self._slope + least)

    @property
    def _slope(self) -> float:
        return (1 / (self.spread * self.null.top_in_spreads) + 1 / self.null.top) / 2

    @property
    def _offset(self) -> float:
        return (self.middle / (self.spread * self.null.top_in_spreads) + self.null.usual / self.null.top) / 2


def null_of(queries: Floats, sample: Floats, *, centred: bool, own: npt.NDArray[np.int64] | None = None) -> Null:
    """What random queries get in a sample.

    Args:
        queries: ``[k, d]``, unit length.
        sample: ``[m, d]``, unit length.
        centred: whether images' similarity to the mean random query is subtracted: for texts.
        own: ``[k]``, the image of the sample that a query is made of, which says nothing about it.
    """
    common: Floats | None = queries.mean(axis=0) if centred else None
    similarities = (queries if common is None else queries - common) @ sample.T
    if own is not None:
        kept = np.ones(similarities.shape, np.bool_)
        kept[np.arange(len(queries)), own] = False
        similarities = similarities[kept].reshape(len(queries), -1)
    usual = float(similarities.mean())
    top = np.quantile(similarities, 1 - _BEST, axis=1)
    middle, spread = _middle_and_spread(similarities)
    return Null(
        usual=usual,
        top=max(float(np.median(top)) - usual, _TINY),
        top_in_spreads=max(float(np.median((top - middle) / spread)), 1.0),
        common=common,
        least_common=0.0 if common is None else float((sample @ common).min()),
    )


def distinct(sample: Floats) -> Floats:
    """The vectors of a sample without copies: one picture that was stored a thousand times is still one picture."""
    found: Floats = np.unique(sample, axis=0)
    return found


def scale_of(query: Floats, sample: Floats, null: Null) -> RelevanceScale:
    """The scale of a query, ``[d]`` of unit length, in a sample ``[m, d]``."""
    similarities = sample @ (query if null.common is None else query - null.common)
    middle, spread = _middle_and_spread(similarities[None])
    return RelevanceScale(middle=float(middle[0]), spread=float(spread[0]), null=null)


def _middle_and_spread(
    similarities: npt.NDArray[np.floating[Any]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``[k, m]`` → two of ``[k]``: the median, and the lower half's standard deviation from it."""
    middle = np.median(similarities, axis=1).astype(np.float64)
    below = np.minimum(similarities - middle[:, None], 0)
    half = np.maximum((similarities <= middle[:, None]).sum(axis=1), 1)
    return middle, np.maximum(np.sqrt(np.square(below).sum(axis=1) / half), _TINY)
