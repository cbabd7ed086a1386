"""A thread that runs a step every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from worker import logs
from worker.db import in_one_line, is_passing
from worker.errors import EnrichError

_log = logs.get("pipeline")

#: Seconds after which a failure that lasts is logged again: the first line may have left the log by then.
_REPEAT = 600.0


class PeriodicThread:
    """Runs a step over and over until it is stopped. A step that fails is run again after the interval.

    A failure is logged once, and again when its message changes, when the step has succeeded in between, or after ten
    minutes.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        action: str,
        failure: str,
        interval: float | None,
        at_once: bool = True,
        handles: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        """Start no thread yet.

        Args:
            name: of the thread.
            step: returns the seconds until it is run again; None: the interval.
            action: of its log lines.
            failure: what is logged when a step fails.
            interval: seconds between the end of a step and the next; None: until ``hurry``.
            at_once: whether the first step comes at once and not after the interval.
            handles: called with each failure; whether nothing has to be logged.
        """
        self._step, self._interval, self._handles = step, interval, handles
        self._action, self._failure = action, failure
        self._first = 0.0 if at_once else interval
        self._failures: dict[str, tuple[str, float]] = {}  # by part: what was logged last, and when
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._starting = threading.Lock()

    @property
    def is_stopping(self) -> bool:
        """Whether no further step will begin."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the thread unless it is running."""
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def hurry(self) -> None:
        """Run a step now, or right after the current one. Several calls during a step cause one more step."""
        self._wake.set()

    def cancel(self) -> None:
        """Start no further step, without waiting. The step itself may call this."""
        self._stopping.set()
        self._wake.set()

    def stop(self, timeout: float | None = None) -> None:
        """Start no further step, and wait at most ``timeout`` seconds for the current one."""
        self.cancel()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def attempt(self, action: Callable[[], float | None], part: str = "") -> float | None:
        """Run a step, or a part of one, whose failure must not end the thread.

        Returns:
            What it returned; None if it failed.
        """
        try:
            result = action()
        except Exception as error:  # noqa: BLE001  # the thread must outlive anything
            if not self._handles(error):
                self._report(error, part)
            return None
        self._failures.pop(part, None)
        return result

    def _report(self, error: Exception, part: str) -> None:
        sentence = f"{type(error).__name__}: {in_one_line(error)}"
        last, logged_at = self._failures.get(part, ("", 0.0))
        now = time.monotonic()
        if last == sentence and now - logged_at < _REPEAT:
            return
        self._failures[part] = sentence, now
        which = {"part": part} if part else {}
        if is_passing(error) or isinstance(error, EnrichError):
            _log.warning(self._failure, action=self._action, error=in_one_line(error), **which)
        else:
            _log.error(self._failure, action=self._action, exc_info=error, **which)

    def _run(self) -> None:
        pause = self._first
        while not self._wait(pause):
            after = self.attempt(self._step)
            pause = self._interval if after is None else after

    def _wait(self, seconds: float | None) -> bool:
        self._wake.wait(seconds)
        self._wake.clear()
        return self.is_stopping
