"""Has a process that searches load the next model before it is needed."""

from __future__ import annotations

import threading

from worker import logs
from worker.db import is_unavailable
from worker.pipeline.reading.text_search import TextSearch

_log = logs.get("pipeline")


class ModelWarmup:
    """Looks every few seconds, from a thread of its own, which spaces there are to be ready for."""

    def __init__(self, search: TextSearch, *, interval: float) -> None:
        self._search, self._interval = search, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Look until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. A model that is being loaded is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._search.keep_ready()
            except Exception as error:  # noqa: BLE001  # this thread must outlive anything
                if is_unavailable(error):
                    continue  # what needs the database says so itself
                _log.exception("the next model could not be loaded; retrying", action="ready")
