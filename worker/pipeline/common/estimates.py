"""Estimates for all images from a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Quantile of the normal distribution for 95 %.
_Z = 1.959963984540054


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen among ``count`` images, which may be an effective number.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    if count <= 0:
        return 0.0, 1.0
    z2 = _Z * _Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(centre - half, 0.0), min(centre + half, 1.0)


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

        By Wilson's score interval, which is right for rare things, too: that none was seen does not mean that there is
        none.
        """
        if self.is_full or not self.images:
            return Estimate(seen=seen, about=seen, low=seen, high=seen)
        n, p = self.images, seen / self.images
        low, high = wilson(p, n)
        return Estimate(
            seen=seen,
            about=round(p * self.total),
            low=max(math.floor(low * self.total), seen),
            high=min(math.ceil(high * self.total), self.total - (n - seen)),
        )
