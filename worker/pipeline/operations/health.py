"""The use case: health checks. Healthy means progress while work is pending."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from worker import ledger
from worker.db import Connection, Engine, transaction
from worker.quick_health import SILENT, STUCK

#: Seconds for which a caller waits for the result of another caller's check.
_PATIENCE = 3.0


def problem(engine: Engine, *, kind: str, host: str) -> str | None:
    """What is wrong with the processes of ``kind`` on ``host``; None if at least one of them is healthy."""
    with transaction(engine) as connection:
        ours = [each for each in ledger.heartbeats.processes(connection) if each.kind == kind and each.host == host]
    if not ours:
        return f"no {kind} of {host} has ever reported to the database"
    problems = [problem_of(each) for each in sorted(ours, key=lambda each: each.refused is None)]
    return None if None in problems else problems[0]


def waiting_for(engine: Engine, *, kind: str, host: str) -> str | None:
    """What the processes of ``kind`` on ``host`` are waiting for, for people. Waiting for others is healthy."""
    with transaction(engine) as connection:
        ours = [each for each in ledger.heartbeats.processes(connection) if each.kind == kind and each.host == host]
    return next((each.waiting for each in ours if each.waiting), None)


def now(engine: Engine) -> datetime:
    """The database's clock, which is the reference."""
    with transaction(engine) as connection:
        return ledger.heartbeats.now(connection)


def reported_since(engine: Engine, *, kind: str, host: str, since: datetime) -> bool:
    """Whether a process of this kind and host started and reported after ``since``."""
    with transaction(engine) as connection:
        return any(
            each.kind == kind and each.host == host and each.started_at > since and each.refused is None
            for each in ledger.heartbeats.processes(connection)
        )


def refusals(engine: Engine) -> list[str]:
    """Which kinds of processes refused to start, and why; without host names."""
    with transaction(engine) as connection:
        return _refusals(connection)


class IntakeProbe:
    """Checks whether events can be committed now, by writing one and rolling back.

    Reading would not tell: a standby and a server whose disk is full answer every query. Anybody may ask, so the answer
    is kept for a moment. Safe to use from any thread.
    """

    def __init__(self, *, keep: float = 1.0) -> None:
        """Check nothing yet; ``keep``: seconds for which a result is reused."""
        self._keep = keep
        self._mutex = threading.Lock()
        self._good_until = 0.0
        self._refusals: list[str] = []

    def __call__(self, engine: Engine) -> list[str]:
        """Run the check; returns what :func:`refusals` returns.

        Raises:
            DBAPIError: what an event would meet.
            TimeoutError: an earlier call is still waiting for an answer.
        """
        if not self._mutex.acquire(timeout=_PATIENCE):
            raise TimeoutError
        try:
            if time.monotonic() >= self._good_until:
                self._look(engine)
                self._good_until = time.monotonic() + self._keep
            return self._refusals
        finally:
            self._mutex.release()

    def _look(self, engine: Engine) -> None:
        with engine.connect() as connection, connection.begin() as probe:
            self._refusals = _refusals(connection)
            ledger.hints.try_hint(connection)
            probe.rollback()


def _refusals(connection: Connection) -> list[str]:
    refused = [
        f"{each.kind}: {each.refused}" for each in ledger.heartbeats.processes(connection) if each.refused is not None
    ]
    return list(dict.fromkeys(refused))


def problem_of(process: ledger.heartbeats.ProcessStatus) -> str | None:
    """What is wrong with one process, in a sentence; None: nothing."""
    if process.refused is not None:
        return f"{process.name} refused to start: {process.refused}"
    if process.seen_ago > SILENT:
        return f"{process.name} was last heard of {process.seen_ago:.0f} s ago"
    if process.progress_ago > STUCK and process.kind == "listener":
        return (
            f"{process.name} has had no answer from all its queues for {process.progress_ago:.0f} s; its log says why"
        )
    if process.progress_ago > STUCK:
        return f"{process.name} has unfinished work and made no progress for {process.progress_ago:.0f} s"
    return None
