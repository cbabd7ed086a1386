"""A limit on how many images requests make this process encode."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from fastapi import HTTPException

from worker.api.refusals import Refusals


class ImageRate:
    """A token bucket: so many images a second on average, and a burst at once. For the event loop's thread only."""

    def __init__(
        self, *, per_second: float, burst: int, refusals: Refusals, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with a full bucket.

        Args:
            per_second: images, on average.
            burst: most images at once, after a pause.
            refusals: counts refused requests.
            clock: seconds.
        """
        self._rate, self._burst = per_second, float(burst)
        self._refusals, self._clock = refusals, clock
        self._left, self._seen = self._burst, clock()

    def take(self, images: int) -> None:
        """Count the images of one request.

        Raises:
            HTTPException: 429, with the seconds after which there is room for them.
        """
        now = self._clock()
        self._left, self._seen = min(self._burst, self._left + (now - self._seen) * self._rate), now
        lacking = min(images, self._burst) - self._left
        if lacking > 0:
            self._refusals.count("images", images=images)
            raise HTTPException(
                429,
                f"this process encodes {self._rate:g} uploaded images per second (ENRICH_API_IMAGES_PER_SECOND), and "
                "they are used up; try again, or name images of the catalog instead of uploading them",
                {"Retry-After": str(math.ceil(lacking / self._rate))},
            )
        self._left -= images
