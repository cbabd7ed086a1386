"""Requests an extra round of reconciliation when events may have been lost: after an outage or a restart."""

from __future__ import annotations

from worker import ledger, logs
from worker.db import Engine, is_passing, transaction
from worker.pipeline.resilience.periodic import PeriodicThread

_log = logs.get("pipeline")

#: Seconds until a request that the database did not take is repeated.
_PAUSE = 1.0


def request(engine: Engine) -> None:
    """Make every bucket that was ever watched due for reconciliation, as soon as a scheduler runs."""
    with transaction(engine) as connection:
        ledger.reconciliations.ask_again(connection)


class Recheck:
    """Requests a reconciliation of every watched bucket, until the database takes the request.

    Calls meanwhile come to one more request, and a scheduler makes one round of however many requests: see
    :func:`worker.ledger.reconciliations.ask_again`. Safe to use from any thread.
    """

    def __init__(self, engine: Engine, *, pause: float = _PAUSE) -> None:
        self._engine, self._pause = engine, pause
        self._thread = PeriodicThread(
            "recheck",
            self._ask,
            action="recheck",
            failure="an extra round of reconciliation could not be scheduled; the next regular one will run",
            interval=None,
            at_once=False,
        )
        self._why = ""

    def __call__(self, why: str) -> None:
        """Request a reconciliation; returns at once."""
        self._why = why
        self._thread.hurry()
        self._thread.start()

    def _ask(self) -> float | None:
        try:
            request(self._engine)
        except Exception as error:
            if is_passing(error):
                return self._pause
            raise
        _log.info(f"an extra round of reconciliation is due: {self._why}", action="recheck")
        return None
