"""The use case: forget changes that are older than the feed promises to keep."""

from __future__ import annotations

import time

from worker import logs, metrics, outbox
from worker.db import Engine, transaction

_log = logs.get("pipeline")

#: Changes deleted in one transaction.
_PART = 1_000
#: Seconds at a time; the scheduler's heartbeat waits for it.
_TURN = 1.0
#: Seconds until it is looked again where nothing was left.
_PAUSE = 60.0


class Pruner:
    """Called with every heartbeat of the scheduler; several schedulers do it in turn."""

    def __init__(self, engine: Engine, *, keep: float | None) -> None:
        """Keep changes for ``keep`` seconds; None: for good, but for what a dump brought with it."""
        self._engine, self._keep = engine, keep
        self._due = 0.0

    def __call__(self) -> int:
        """Delete what is old, for a second at most. Returns how much."""
        began = time.monotonic()
        if began < self._due:
            return 0
        total = 0
        while time.monotonic() < began + _TURN:
            with transaction(self._engine) as connection:
                deleted = outbox.prune(connection, keep=self._keep, limit=_PART)
            total += deleted
            if deleted < _PART:
                self._due = time.monotonic() + _PAUSE
                break
        if total:
            metrics.FEED_PRUNED.inc(total)
            _log.info(f"{total} old changes were deleted from the feed", action="prune", count=total)
        return total
