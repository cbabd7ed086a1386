"""Estimates for all images from a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Quantile of the normal distribution for 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number of images: exact if all were examined, else estimated with a 95 % interval."""

    seen: int  # among the examined images
    about: int  # for all images
    low: int
    high: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How many images were examined, and of how many."""

    images: int
    total: int
    exact: bool  # whether the total was counted, not estimated

    @property
    def is_full(self) -> bool:
        """Whether all images were examined."""
        return self.images >= self.total

    def count(self, seen: int) -> Estimate:
        """Estimate the number for all images from that for the examined ones.

        Wilson's score interval, which is right for rare things, too: that none was seen does not mean that there is
        none. (E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.)
        """
        if self.is_full or not self.images:
            return Estimate(seen=seen, about=seen, low=seen, high=seen)
        n, p, z2 = self.images, seen / self.images, _Z * _Z
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return Estimate(
            seen=seen,
            about=round(p * self.total),
            low=max(math.floor(max(centre - half, 0.0) * self.total), seen),
            high=min(math.ceil((centre + half) * self.total), self.total - (n - seen)),
        )
