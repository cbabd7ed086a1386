"""Alive means that work moves while work is pending."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.ledger import hints
from worker import ledger
from worker.db import Engine, transaction
from worker.pipeline.operations import health
from worker.pipeline.resilience.heartbeat import Heartbeat


def hint(engine: Engine) -> None:
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a"))


def ten_minutes_pass(engine: Engine, column: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text(f"UPDATE processes SET {column} = {column} - interval '10 minutes'"))


def problem(engine: Engine, heartbeat: Heartbeat, kind: str) -> str | None:
    with transaction(engine) as connection:
        [process] = ledger.heartbeats.processes(connection)
    assert process.name == heartbeat.name
    return health.problem(engine, kind=kind, host=process.host)


@pytest.fixture
def heartbeat(engine: Engine) -> Heartbeat:
    """A worker that has reported once, long ago."""
    heartbeat = Heartbeat(engine, kind="worker")
    heartbeat._beat()
    ten_minutes_pass(engine, "progress_at")
    return heartbeat


def test_a_worker_that_finishes_nothing_while_work_waits_is_not_healthy(engine, heartbeat):
    """However often it says that it is alive."""
    hint(engine)
    heartbeat._beat()
    said = problem(engine, heartbeat, "worker")
    assert said is not None
    assert "made no progress" in said


def test_a_worker_with_nothing_to_do_is_healthy(engine, heartbeat):
    """Doing nothing is no sign of anything then."""
    heartbeat._beat()
    assert problem(engine, heartbeat, "worker") is None


def test_a_worker_that_finishes_work_is_healthy(engine, heartbeat):
    """Also while more waits."""
    hint(engine)
    heartbeat.progressed()
    heartbeat._beat()
    assert problem(engine, heartbeat, "worker") is None


def test_a_worker_that_waits_for_the_store_is_healthy(engine, heartbeat):
    """A new process would have to wait as well."""
    hint(engine)
    heartbeat.breakers.store.report(failed=5, why="refused")
    heartbeat._beat()
    assert problem(engine, heartbeat, "worker") is None


def test_a_scheduler_that_stands_still_is_not_healthy(engine):
    """Its own loop has to say that it moves; its heartbeat alone does not."""
    scheduler = Heartbeat(engine, kind="scheduler")
    scheduler._beat()
    ten_minutes_pass(engine, "progress_at")
    scheduler._beat()
    assert problem(engine, scheduler, "scheduler") is not None
    scheduler.progressed()
    scheduler._beat()
    assert problem(engine, scheduler, "scheduler") is None


def test_a_process_that_is_silent_is_not_healthy(engine, heartbeat):
    """Whatever it was doing when it was last heard of."""
    heartbeat._beat()
    ten_minutes_pass(engine, "seen_at")
    assert "last heard of" in str(problem(engine, heartbeat, "worker"))
