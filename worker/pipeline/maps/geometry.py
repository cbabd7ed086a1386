"""Places in the plane: how a new map is turned onto the one before, and how places are stored in two bytes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.types import Floats

#: Places on the grid of a map: ``[n, 2]``, x and y from 0 to 65,535.
Grid = npt.NDArray[np.uint16]

_STEPS: Final = 65_535
#: Fewer common points say nothing about how two maps lie to each other.
_LEAST_COMMON: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The square of the plane that a map's grid covers."""

    x: float  # of its centre
    y: float
    half: float  # of a side

    def grid(self, places: Floats) -> Grid:
        """The nearest points of the grid; ``places`` is ``[n, 2]``. What is outside of the square goes to its edge."""
        scaled = (places - [self.x, self.y]) / (2 * self.half) + 0.5
        return np.rint(np.clip(scaled, 0, 1) * _STEPS).astype(np.uint16)

    def places(self, grid: Grid) -> Floats:
        """Points of the grid in the plane, ``[n, 2]``."""
        scaled = grid.astype(np.float32) / _STEPS - 0.5
        return (scaled * (2 * self.half) + [self.x, self.y]).astype(np.float32)


def frame_of(places: Floats) -> Frame:
    """The smallest square around places, ``[n, 2]``; all in one point: a square of side 2 around it."""
    if not len(places):
        return Frame(x=0.0, y=0.0, half=1.0)
    low, high = places.min(axis=0).astype(float), places.max(axis=0).astype(float)
    half = float((high - low).max()) / 2
    return Frame(x=float(low[0] + high[0]) / 2, y=float(low[1] + high[1]) / 2, half=half or 1.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Alignment:
    """A rotation or reflection, one scale for both axes, and a shift, that bring a map onto another one."""

    turn: npt.NDArray[np.float64]  # [2, 2], orthogonal
    scale: float
    before: npt.NDArray[np.float64]  # [2]: centre of the common points as they were
    after: npt.NDArray[np.float64]  # [2]: and as they are on the other map
    explained: float  # 0 to 1: share of the other map's variance that the common points follow

    def __call__(self, places: Floats) -> Floats:
        """Moved places, ``[n, 2]``."""
        moved: Floats = ((places - self.before) @ self.turn * self.scale + self.after).astype(np.float32)
        return moved


def align(new: Floats, old: Floats) -> Alignment | None:
    """How to bring ``new`` as near as possible to ``old``; None if that is undetermined.

    Orthogonal Procrustes analysis with scaling: J. C. Gower and G. B. Dijksterhuis, Procrustes Problems, 2004.

    Args:
        new: ``[n, 2]``, places of the common points.
        old: ``[n, 2]``, places of the same points on the other map.
    """
    if len(new) < _LEAST_COMMON:
        return None
    before, after = new.mean(axis=0, dtype=np.float64), old.mean(axis=0, dtype=np.float64)
    a, b = new - before, old - after
    size_a, size_b = float((a**2).sum()), float((b**2).sum())
    if not (size_a and size_b):
        return None
    u, strengths, v = np.linalg.svd(a.T @ b)
    total = float(strengths.sum())
    return Alignment(
        turn=u @ v, scale=total / size_a, before=before, after=after, explained=min(total**2 / (size_a * size_b), 1.0)
    )
