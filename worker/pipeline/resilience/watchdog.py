"""The watchdog: tells an idle worker from one that gets no wake-ups or is stuck, by its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker import ledger, logs
from worker.db import Engine, is_unavailable, transaction
from worker.pipeline.resilience.periodic import PeriodicThread

_log = logs.get("pipeline")

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchdogLimits:
    """Time limits of the watchdog."""

    quiet: float  # seconds that work may wait before we take it without a wake-up
    deaf: int  # how often in a row, although the broker answers, until our consumer counts as dead
    stuck: float  # seconds that a batch may take


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchdogHooks:
    """The functions that a watchdog calls."""

    claimable: Callable[[], bool]  # whether a claim would return something now, and may be made
    due: Callable[[], bool]  # whether a breaker allows a probe now: no wake-up comes for that
    notify: Callable[[], bool]  # wakes a worker, perhaps us; returns whether the broker took it
    work: Callable[[], object]  # processes one batch
    end: Callable[[str], None]  # ends this process, with a reason


class Watchdog:
    """Checks every few seconds, on its own thread.

    Celery workers have been seen to stop consuming after the broker reconnected, although every probe reported them
    alive. The symptom is work that waits while this process idles. Then the watchdog takes that work itself, one batch
    at a time: the ledger is all it needs, so a missing broker only costs speed. A process that gets no wake-ups from a
    working broker, or whose batch never ends, is ended: its supervisor starts another.
    """

    def __init__(
        self, around: WatchdogHooks, patience: WatchdogLimits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._around, self._patience, self._clock = around, patience, clock
        self._woken_at = clock()
        self._unheard = 0  # wake-ups in a row that did not reach us
        self._busy: dict[int, float] = {}  # thread → since when
        # The heartbeat reports an unavailable database.
        self._thread = PeriodicThread(
            "watchdog",
            self.look,
            action="watch",
            failure="the watchdog failed; retrying",
            interval=min(patience.quiet / 2, _LOOK_SECONDS),
            at_once=False,
            handles=is_unavailable,
        )
        self._helper: threading.Thread | None = None

    def start(self) -> None:
        """Watch until ``stop``."""
        self._thread.start()

    def stop(self, *, timeout: float = 20.0) -> None:
        """Stop watching, after the current batch if there is one."""
        self._thread.stop(timeout)
        if self._helper is not None:
            self._helper.join(timeout)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Mark this thread as woken and working while the block runs."""
        self._woken_at, self._unheard = self._clock(), 0
        try:
            with self._working():
                yield
        finally:
            self._woken_at = self._clock()

    def look(self) -> None:
        """Check once."""
        now = self._clock()
        if any(now - since > self._patience.stuck for since in list(self._busy.values())):
            self._around.end(f"a batch has been running for over {self._patience.stuck:.0f} s; this process is stuck")
        elif not self._busy and self._around.due():
            self._help()
        elif not self._busy and now - self._woken_at > self._patience.quiet and self._around.claimable():
            self._not_woken(now)

    def _not_woken(self, now: float) -> None:
        if self._around.notify():
            self._unheard += 1
            if self._unheard > self._patience.deaf:
                self._around.end(
                    f"work waits, the broker accepts wake-ups, and none came for {now - self._woken_at:.0f} s"
                )
                return
        _log.info("work is waiting although no wake-up came; taking it", action="unwoken", rings_unheard=self._unheard)
        self._help()

    def _help(self) -> None:
        self._helper = threading.Thread(
            target=self._thread.attempt, args=(self._help_ourselves, "unwoken"), name="unwoken", daemon=True
        )
        self._helper.start()

    def _help_ourselves(self) -> None:
        """Work on a separate thread, so that the watchdog keeps watching."""
        while not self._thread.is_stopping:
            with self._working():
                self._around.work()
            if not self._around.claimable():
                return

    @contextmanager
    def _working(self) -> Iterator[None]:
        thread = threading.get_ident()
        self._busy[thread] = self._clock()
        try:
            yield
        finally:
            self._busy.pop(thread, None)


def claimable(engine: Engine, floors: ledger.floors.Floors) -> bool:
    """Whether a claim would return something now."""
    with transaction(engine) as connection:
        return ledger.totals.claimable(connection, floors)
