"""Uniform draws within a label, from images that have it and images that nearly have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.pipeline.review.candidates import Candidate, Finder


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """Drawn images, each once, in no order."""

    candidates: Sequence[Candidate]
    shares: npt.NDArray[np.float64]  # [n], with what probability each was drawn
    population: int  # images that they were drawn from
    exact: bool  # whether that was counted


def draw(finder: Finder, count: int) -> Drawn:
    """Draw ``count`` images at random; fewer if there are fewer, or if few were found that nearly have the label.

    Both kinds are drawn in proportion to their numbers, so that all images have the same chance, unless the sample has
    too few of those that nearly have the label; the shares then differ, and say so.
    """
    given, near = finder.given(limit=count), finder.near()
    population = given.population + near.population
    wanted = count * near.population / population if population else 0.0
    from_near = min(len(near.found), round(wanted))
    from_given = min(len(given.found), count - min(round(wanted), count))
    parts = [(given, from_given), (near, from_near)]
    candidates = [each for stratum, number in parts for each in stratum.found[:number]]
    shares = [np.full(number, number / max(stratum.population, 1.0)) for stratum, number in parts]
    return Drawn(
        candidates=candidates,
        shares=np.minimum(np.concatenate(shares), 1.0),
        population=round(population),
        exact=given.share == near.share == 1.0,
    )
