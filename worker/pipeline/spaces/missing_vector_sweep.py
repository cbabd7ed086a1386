"""Finds vectors missing in a space that are not queued."""

from __future__ import annotations

from worker import catalog, logs
from worker.db import Engine, transaction

_log = logs.get("pipeline")

#: Images examined per step: some tens of milliseconds.
_STEP = 10_000
#: With a queue of this length the step is skipped; whatever else is missing is found in the next round.
_ENOUGH = 50_000


class MissingVectorSweep:
    """Scans the catalog step by step, repeatedly, for each space that is active or kept ready.

    Writing an image queues it for the other spaces in the same transaction, so that there is nothing to find,
    but: a worker of a release that knows no queues writes beside newer ones; a space is activated before it is full;
    a backup is restored in parts. Several processes may walk at once: they find the same.
    """

    def __init__(self, engine: Engine) -> None:
        """Start at the first image. The position is not stored: a restart scans again."""
        self._engine = engine
        self._at: dict[int, int] = {}  # space → the last image examined

    def walk(self) -> int:
        """Take one step in each such space.

        Returns:
            How many images were queued.
        """
        with transaction(self._engine) as connection:
            queues, served = catalog.embedding_queue.queue_lengths(connection), catalog.spaces.served(connection)
        self._at = {space: self._at.get(space, 0) for space in served}
        return sum(self._step(space) for space in served if queues.get(space, 0) < _ENOUGH)

    def _step(self, space: int) -> int:
        with transaction(self._engine) as connection:
            step = catalog.embedding_queue.enqueue_missing(connection, space, after=self._at[space], limit=_STEP)
        self._at[space] = 0 if step is None else step.last
        if step is None or step.queued == 0:
            return 0
        _log.warning(
            f"{step.queued:,} images had no vector in space {space} and were not queued: they are queued now. "
            "Older workers, or activating a space before it was full, leave such images behind",
            action="patrol",
            space=space,
            images=step.queued,
        )
        return step.queued
