"""The circuit breakers of a worker: opening and closing is logged once, and shown in the status meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from worker import logs, metrics
from worker.pipeline.resilience.circuit_breaker import BackoffPolicy, CircuitBreaker, Permit, StateChange

_log = logs.get("pipeline")

#: A batch without a single answer is not yet an outage if it was small.
STORE = BackoffPolicy(threshold=5, first=1.0, longest=30.0)
DATABASE = BackoffPolicy(threshold=1, first=1.0, longest=15.0)
#: Work continues at a trickle, so that good uploads get through and their success is noticed.
QUARANTINE = BackoffPolicy(threshold=1, first=1.0, longest=60.0)


BreakerName: TypeAlias = Literal["database", "store", "quarantine"]

#: What a process reports while a breaker is open.
WAITS_FOR: Mapping[BreakerName, str] = {
    "database": "the database is away",
    "store": "the object store cannot be read",
    "quarantine": "nearly everything is refused, so nothing is put into quarantine",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Permits:
    """A permit of each breaker; the smallest limit applies."""

    database: Permit
    store: Permit
    quarantine: Permit

    @property
    def limit(self) -> int | None:
        """Like ``Permit.limit``."""
        limits = (self.database.limit, self.store.limit, self.quarantine.limit)
        return min((limit for limit in limits if limit is not None), default=None)


class WorkerBreakers:
    """The breakers of one process. Each process finds out for itself: an outage for one need not affect another."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, recheck: Callable[[str], None] = lambda _: None
    ) -> None:
        """Start closed. ``recheck`` is called with a sentence after an outage in which events may have been lost."""
        self._recheck = recheck
        self.database = CircuitBreaker(
            DATABASE, announce=self._after(_database_changed, "the database was away"), clock=clock
        )
        self.store = CircuitBreaker(
            STORE, announce=self._after(_store_changed, "the object store was away"), clock=clock
        )
        self.quarantine = CircuitBreaker(QUARANTINE, announce=_quarantine_changed, clock=clock)

    def _after(self, announce: Callable[[StateChange], None], why: str) -> Callable[[StateChange], None]:
        def changed(change: StateChange) -> None:
            announce(change)
            if not change.is_open:
                self._recheck(why)

        return changed

    @contextmanager
    def turn(self) -> Iterator[Permits]:
        """Take a turn of all breakers at once."""
        with self.database.turn() as database, self.store.turn() as store, self.quarantine.turn() as quarantine:
            yield Permits(database=database, store=store, quarantine=quarantine)

    @property
    def hold(self) -> bool:
        """Whether a turn would be refused now."""
        return any(each.is_open and not each.is_due for each in (self.database, self.store, self.quarantine))

    @property
    def due(self) -> bool:
        """Whether a breaker is open and allows a probe now."""
        return not self.hold and any(each.is_open for each in (self.database, self.store, self.quarantine))

    def waiting(self) -> str | None:
        """What this process is waiting for, in a sentence; None: nothing."""
        breakers: Mapping[BreakerName, CircuitBreaker] = {
            "database": self.database,
            "store": self.store,
            "quarantine": self.quarantine,
        }
        found = [
            f"{WAITS_FOR[name]} (for {each.seconds:.0f} s): {each.why}"
            for name, each in breakers.items()
            if each.is_open
        ]
        return "; ".join(found) or None


def open_breakers(waiting: str | None) -> tuple[BreakerName, ...]:
    """The breakers that are open, by what ``WorkerBreakers.waiting`` returned in any process."""
    return tuple(name for name, what in WAITS_FOR.items() if f"{what} (for " in (waiting or ""))


def _announcing(name: str, opened: Callable[[StateChange], None], closed: str) -> Callable[[StateChange], None]:
    def announce(change: StateChange) -> None:
        metrics.BREAKER_OPEN.labels(breaker=name).set(change.is_open)
        if change.is_open:
            opened(change)
        else:
            _log.warning(closed, action="breaker", breaker=name, open_seconds=round(change.seconds, 1))

    return announce


def _store_is_away(change: StateChange) -> None:
    _log.warning(
        "the object store cannot be read; work waits, and no attempts are counted", action="breaker",
        breaker="store", why=change.why,
    )  # fmt: skip


def _database_is_away(change: StateChange) -> None:
    _log.warning("the database is unavailable; work waits", action="breaker", breaker="database", why=change.why)


def _too_much_is_refused(change: StateChange) -> None:
    _log.error(
        f"{change.why}: nothing more is put into quarantine, and work continues at a trickle, until images that were "
        "enriched before have been retried. `enrich quarantine list` shows what was quarantined; after a fix, run "
        "`enrich quarantine retry`. If the files really are broken, set ENRICH_QUARANTINE_BREAKER_RATIO=1",
        action="breaker", breaker="quarantine",
    )  # fmt: skip


_store_changed = _announcing("store", _store_is_away, "objects can be read again; work continues")
_database_changed = _announcing("database", _database_is_away, "the database is back; work continues")
_quarantine_changed = _announcing(
    "quarantine", _too_much_is_refused, "work continues, and broken files are quarantined"
)
