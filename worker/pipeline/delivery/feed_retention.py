"""The use case: delete changes older than the feed's retention period."""

from __future__ import annotations

import time

from worker import logs, metrics, outbox
from worker.db import Engine, transaction

_log = logs.get("pipeline")

#: Changes deleted per transaction.
_PART = 1_000
#: Seconds per run; the scheduler's heartbeat waits for it.
_TURN = 1.0
#: Seconds until the next run if nothing is left.
_PAUSE = 60.0


class Pruner:
    """Deletes old changes with every heartbeat of the scheduler; several schedulers take turns."""

    def __init__(self, engine: Engine, *, keep: float | None) -> None:
        """Keep changes for ``keep`` seconds; None: forever, except those that a dump brought along."""
        self._engine, self._keep = engine, keep
        self._due = 0.0

    def __call__(self) -> int:
        """Delete old changes, for at most a second. Returns how many."""
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
