"""How images score against examples of what is wanted, and of what is not. Pure functions on vectors.

A similarity is standardised first: by its mean and standard deviation over a sample of the catalog's images. Cosines of
texts are lower than those of images and lie closer together, by a factor of four in CLIP: without this, an example
image would outweigh every text beside it. docs/decisions/0047 has the measurements. With the standardised similarities
z⁺ to examples of what is wanted and z⁻ to those of what is not:

    average:  2 · mean(z⁺) − mean(z⁻)    like all of the examples together
    best:     2 · max(z⁺) − max(z⁻)      like any one of them

Without negative examples that is mean(z⁺) or max(z⁺); without positive ones −mean(z⁻) or −max(z⁻), which finds what is
unlike everything given. ``average`` is a product with one vector, so an index finds its best images.
Qdrant's ``average_vector`` and ``best_score`` are the models of both (qdrant.tech, "Explore the data").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from worker.errors import ChoiceError
from worker.types import Floats

Doubles: TypeAlias = npt.NDArray[np.float64]
Strategy: TypeAlias = Literal["average", "best"]

#: Fewer images say too little about what is usual: similarities are compared as they are.
FEWEST_IMAGES = 10
#: Least length of the combination of unit vectors, for weights that add up to 1.
_LEAST_LENGTH = 0.2
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """What an example's similarities to the catalog's images usually are."""

    mean: float = 0.0
    spread: float = 1.0  # standard deviation


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Nearness:
    """How near images are to the nearest of several examples."""

    examples: npt.NDArray[np.int64]  # [k], which one
    similarities: Floats  # [k], its cosine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExampleScores:
    """Examples that are ready to be compared.

    Raises:
        ChoiceError: there are none, or they cancel out.
    """

    positive: Floats  # [p, d], unit length
    negative: Floats  # [n, d]
    usual: tuple[Usual, ...]  # p + n of them
    strategy: Strategy = "average"

    def __post_init__(self) -> None:
        """Refuse what has no direction, before anything is searched."""
        if not len(self.positive) + len(self.negative):
            raise ChoiceError("there is nothing to search for: give at least one example")
        self.direction()

    @property
    def is_plain(self) -> bool:
        """Whether one positive example is all there is: then its cosine is the score."""
        return len(self.positive) == 1 and not len(self.negative)

    def direction(self) -> Floats:
        """The unit vector ``[d]`` whose products order images as ``average`` does.

        Raises:
            ChoiceError: the examples cancel out.
        """
        combined = self.weights() @ np.concatenate([self.positive, self.negative]).astype(np.float64)
        length = np.linalg.norm(combined)
        if length < _LEAST_LENGTH * np.abs(self.weights()).sum():
            raise ChoiceError(
                "the examples cancel out: together they point nowhere, so every image would fit equally well; leave "
                "some out, or search with each of them alone"
            )
        found: Floats = (combined / length).astype(np.float32)
        return found

    def scores(self, vectors: Floats) -> Doubles:
        """``[k, d]`` unit vectors of images → ``[k]``, higher is better; float64, rounded to nine digits.

        The rounding makes a score independent of which images it is computed together with.
        """
        wanted, unwanted = self._standardised(vectors)
        if self.is_plain:
            cosines: Doubles = vectors.astype(np.float64) @ self.positive[0].astype(np.float64)
            return np.round(cosines, 9)
        many = _mean if self.strategy == "average" else _largest
        if not len(self.negative):
            return np.round(many(wanted), 9)
        if not len(self.positive):
            return np.round(-many(unwanted), 9)
        return np.round(2 * many(wanted) - many(unwanted), 9)

    def nearest_positive(self, vectors: Floats) -> Nearness | None:
        """The nearest of the positive examples to each image; None if there are none."""
        return self._nearest(vectors, self._standardised(vectors)[0], self.positive)

    def nearest_negative(self, vectors: Floats) -> Nearness | None:
        """Likewise of the negative ones."""
        return self._nearest(vectors, self._standardised(vectors)[1], self.negative)

    def _nearest(self, vectors: Floats, standardised: Doubles, examples: Floats) -> Nearness | None:
        if not len(examples):
            return None
        which = standardised.argmax(axis=1)
        return Nearness(examples=which, similarities=np.einsum("kd,kd->k", vectors, examples[which]))

    def _standardised(self, vectors: Floats) -> tuple[Doubles, Doubles]:
        """``[k, p]`` and ``[k, n]``."""
        examples = np.concatenate([self.positive, self.negative]).astype(np.float64)
        means = np.array([each.mean for each in self.usual])
        found = (vectors.astype(np.float64) @ examples.T - means) / self._spreads()
        return found[:, : len(self.positive)], found[:, len(self.positive) :]

    def weights(self) -> Doubles:
        """``[p + n]``, of the examples' unit vectors in the direction; negative ones of negative examples."""
        ours, theirs = len(self.positive), len(self.negative)
        wanted = np.full(ours, (2 if theirs else 1) / max(ours, 1))
        return np.concatenate([wanted, np.full(theirs, -1 / max(theirs, 1))]) / self._spreads()

    def _spreads(self) -> Doubles:
        return np.array([max(each.spread, _TINY) for each in self.usual])


def usual(examples: Floats, sample: Floats) -> tuple[Usual, ...]:
    """What is usual for each of ``examples`` ([n, d]) among a ``sample`` ([k, d]) of the catalog's images."""
    if len(sample) < FEWEST_IMAGES:
        return (Usual(),) * len(examples)
    found = examples.astype(np.float64) @ sample.T.astype(np.float64)
    return tuple(
        Usual(mean=_short(mean), spread=_short(spread) or 1.0)
        for mean, spread in zip(found.mean(axis=1), found.std(axis=1), strict=True)
    )


def _short(value: float) -> float:
    """Six digits: what a cursor carries, so that every page of a search computes with the same numbers."""
    return float(f"{value:.6g}")


def _mean(found: Doubles) -> Doubles:
    mean: Doubles = found.mean(axis=1)
    return mean


def _largest(found: Doubles) -> Doubles:
    largest: Doubles = found.max(axis=1)
    return largest
