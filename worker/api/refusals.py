"""Refused requests: all are counted but few are logged, so that strangers cannot fill the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from worker import logs, metrics

_log = logs.get("api")

#: Seconds between two log lines for one reason.
_QUIET = 60.0


class Refusals:
    """Counts refusals. Used from the event loop's thread only."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def count(self, reason: str, **facts: object) -> None:
        """Count one more. Per reason, the first is logged at once; then one a minute, with the number of refusals.

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
