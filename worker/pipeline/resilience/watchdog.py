"""Tells a worker process that is idle from one that is deaf or stuck: what is tested is progress."""

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
    """How long is too long."""

    quiet: float  # seconds that work may wait before we take it although nobody woke us
    deaf: int  # how often in a row that may happen, with a broker that answers, until our consumer counts as dead
    stuck: float  # seconds a batch may be in hand


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchdogHooks:
    """What a watchdog can ask and do."""

    claimable: Callable[[], bool]  # whether a claim would return something now, and may be made
    due: Callable[[], bool]  # whether something that was away may be tried again now: no ring comes for that
    notify: Callable[[], bool]  # wakes a worker: us, if we are not deaf and nobody else is quicker; whether it could
    work: Callable[[], object]  # takes one batch to its end
    end: Callable[[str], None]  # ends this process, with a sentence why


class Watchdog:
    """Looks every few seconds, from a thread of its own.

    Workers have stopped consuming after their broker reconnected, while every probe said that they were alive. The sign
    is work that waits while this process idles. Then the watchdog takes that work itself, one batch at a time: the
    ledger is all that is needed, so a broker that is away costs speed only. A process that stays deaf with a broker
    that works, and one whose batch never ends, is ended: its supervisor starts another.
    """

    def __init__(
        self, around: WatchdogHooks, patience: WatchdogLimits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._around, self._patience, self._clock = around, patience, clock
        self._woken_at = clock()
        self._unheard = 0  # rings in a row that did not wake us
        self._busy: dict[int, float] = {}  # thread → since when
        # Of a database that is away, the heartbeat tells.
        self._thread = PeriodicThread(
            "watchdog",
            self.look,
            interval=min(patience.quiet / 2, _LOOK_SECONDS),
            at_once=False,
            handles=is_unavailable,
        )
        self._helper: threading.Thread | None = None

    def start(self) -> None:
        """Watch until ``stop``."""
        self._thread.start()

    def stop(self, *, timeout: float = 20.0) -> None:
        """Stop watching, after the batch in hand if there is one."""
        self._thread.stop(timeout)
        if self._helper is not None:
            self._helper.join(timeout)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """While inside, this thread has been woken and works."""
        self._woken_at, self._unheard = self._clock(), 0
        try:
            with self._working():
                yield
        finally:
            self._woken_at = self._clock()

    def look(self) -> None:
        """Look once."""
        now = self._clock()
        if any(now - since > self._patience.stuck for since in list(self._busy.values())):
            self._around.end(f"a batch has been in hand for over {self._patience.stuck:.0f} s; this process is stuck")
        elif not self._busy and self._around.due():
            self._help()
        elif not self._busy and now - self._woken_at > self._patience.quiet and self._around.claimable():
            self._not_woken(now)

    def _not_woken(self, now: float) -> None:
        if self._around.notify():
            self._unheard += 1
            if self._unheard > self._patience.deaf:
                self._around.end(
                    f"work waits, the broker takes wake-ups, and none came for {now - self._woken_at:.0f} s"
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
        """On a thread of its own, so that the watchdog goes on watching it."""
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
