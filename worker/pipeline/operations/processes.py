"""The use case: which processes run, what they do, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from worker import ledger
from worker.db import Engine, transaction
from worker.ledger.heartbeats import ProcessStatus
from worker.pipeline.operations import health
from worker.pipeline.resilience.worker_breakers import BreakerName, open_breakers
from worker.quick_health import SILENT, STUCK

#: refused: ended at its start; silent: no heartbeat; stuck: has work and makes no progress; waiting: takes no work.
Activity: TypeAlias = Literal["working", "idle", "waiting", "stuck", "silent", "refused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningProcess:
    """A process that reported within a day. Ages are in seconds, by the database's clock."""

    name: str
    kind: str
    host: str
    model: str | None
    activity: Activity
    batches: int  # that it has claimed
    waiting: str | None
    breakers: tuple[BreakerName, ...]  # that are open in it
    problem: str | None  # what is wrong with it, in a sentence
    started_at: datetime
    seen_seconds: float
    progress_seconds: float


def processes(engine: Engine) -> list[RunningProcess]:
    """All processes that report to the database, by kind and name. The API does not report itself."""
    with transaction(engine) as connection:
        return [_running(each) for each in ledger.heartbeats.processes(connection)]


def _running(found: ProcessStatus) -> RunningProcess:
    return RunningProcess(
        name=found.name,
        kind=found.kind,
        host=found.host,
        model=found.model,
        activity=_activity(found),
        batches=found.in_flight,
        waiting=found.waiting,
        breakers=open_breakers(found.waiting),
        problem=health.problem_of(found),
        started_at=found.started_at,
        seen_seconds=max(found.seen_ago, 0.0),
        progress_seconds=max(found.progress_ago, 0.0),
    )


def _activity(found: ProcessStatus) -> Activity:
    if found.refused is not None:
        return "refused"
    if found.seen_ago > SILENT:
        return "silent"
    if found.progress_ago > STUCK:
        return "stuck"
    if found.waiting is not None:
        return "waiting"
    return "working" if found.in_flight else "idle"
