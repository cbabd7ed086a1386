"""Requests that were refused: counted each, logged seldom, so that strangers cannot fill the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from worker import logs, metrics

_log = logs.get("api")

#: Seconds between two lines of one reason.
_QUIET = 60.0


class Refusals:
    """Belongs to one thread, that of the event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def count(self, reason: str, **facts: object) -> None:
        """One more. Of a reason, the first is logged at once; then one in a minute, with how many there were.

        Args:
            reason: a label of ``enrich_api_refusals_total``.
            facts: about this one, for the log. No token, and nothing long.
        """
        metrics.API_REFUSALS.labels(reason=reason).inc()
        self._untold[reason] += 1
        now = self._clock()
        if now >= self._quiet_until.get(reason, now):
            self._quiet_until[reason] = now + _QUIET
            _log.warning(
                "requests were refused", action="refuse", reason=reason, requests=self._untold.pop(reason), **facts
            )
