"""Has the watched buckets compared where events may have been lost: after an outage, after a restart."""

from __future__ import annotations

import threading

from worker import ledger, logs
from worker.db import Engine, in_one_line, is_passing, transaction

_log = logs.get("pipeline")

#: Seconds until a database that does not take the request is asked again.
_PAUSE = 1.0


def request(engine: Engine) -> None:
    """Have every bucket that was ever watched compared, as soon as a scheduler runs; nothing where none was."""
    with transaction(engine) as connection:
        ledger.reconciliations.ask_again(connection)


class Recheck:
    """Asks for a comparison of every watched bucket with the ledger, until the database takes the request.

    Calls meanwhile come to one more request, and a scheduler makes one round of however many requests: see
    :func:`worker.ledger.ask_again`. Safe to use from any thread.
    """

    def __init__(self, engine: Engine, *, pause: float = _PAUSE) -> None:
        self._engine, self._pause = engine, pause
        self._wanted = threading.Event()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._why = ""

    def __call__(self, why: str) -> None:
        """Have the comparison begin as soon as it can; returns at once."""
        self._why = why
        self._wanted.set()
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recheck", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            if not self._ask():
                self._wanted.set()
                threading.Event().wait(self._pause)

    def _ask(self) -> bool:
        try:
            request(self._engine)
        except Exception as error:  # noqa: BLE001  # this thread must outlive anything
            if is_passing(error):
                return False
            _log.error(
                "an extra round of reconciliation could not be scheduled; the next regular one will run",
                action="recheck", error=in_one_line(error),
            )  # fmt: skip
            return True
        _log.info(f"an extra round of reconciliation is due: {self._why}", action="recheck")
        return True
