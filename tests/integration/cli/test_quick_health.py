"""The quick health check, against a real database: it may only ever say that a part is well."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from worker import ledger, quick_health
from worker.db import Engine, transaction
from worker.ledger.heartbeats import ProcessReport
from worker.local.home import Home, HomeLock

_HOST = socket.gethostname()
#: Modules that cost more to import than the check may cost in all.
_HEAVY = {"pydantic", "sqlalchemy", "typer", "rich", "structlog", "celery", "torch", "numpy", "alembic"}


@pytest.fixture
def url(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of this test's database, as the environment of a check names it, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    for name in [name for name in os.environ if name.startswith("ENRICH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENRICH_DATABASE_URL", url)
    return url


def _beat(engine: Engine, kind: str = "worker", *, waiting: str | None = None, host: str = _HOST) -> None:
    with transaction(engine) as connection:
        ledger.heartbeats.record(
            connection, ProcessReport(name=f"{kind}@{host}:1", kind=kind, host=host, waiting=waiting)
        )


def _beat_long_ago(engine: Engine, column: str, seconds: float) -> None:
    _beat(engine)
    with transaction(engine) as connection:
        connection.execute(text(f"UPDATE processes SET {column} = now() - {seconds} * interval '1 second'"))


CASES: dict[str, tuple[Callable[[Engine], object], bool]] = {
    "reported": (_beat, True),
    "never reported": (lambda _: None, False),
    "another part": (lambda engine: _beat(engine, "scheduler"), False),
    "another host": (lambda engine: _beat(engine, host="elsewhere"), False),
    "waits": (lambda engine: _beat(engine, waiting="for the store"), False),
    "silent": (lambda engine: _beat_long_ago(engine, "seen_at", quick_health.SILENT + 1), False),
    "stuck": (lambda engine: _beat_long_ago(engine, "progress_at", quick_health.STUCK + 1), False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("url")
def test_only_a_part_that_moves_is_well(engine: Engine, case: str) -> None:
    """One that is silent, stuck, refused or waits is left to the thorough check, which has words for it."""
    happened, expected = CASES[case]
    happened(engine)
    assert quick_health.is_well("worker") is expected


def test_a_part_that_refused_to_start_is_not_well(engine: Engine, url: str) -> None:
    """Its row is fresh, and says why."""
    with transaction(engine) as connection:
        ledger.heartbeats.report_refusal(
            connection, ProcessReport(name="worker@here:1", kind="worker", host=_HOST), "another model"
        )
    assert not quick_health.is_well("worker")


@pytest.mark.parametrize("named", ["postgresql://enrich@127.0.0.1:1/enrich", "nonsense", ""])
def test_a_database_that_does_not_answer_is_not_well(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:  # fmt: skip
    """Whatever goes wrong, the quick check raises nothing."""
    _beat(engine)
    assert quick_health.is_well("worker")
    monkeypatch.setenv("ENRICH_DATABASE_URL", named)
    assert (False, False, True) == (quick_health.is_well("worker"), quick_health.is_well("api"), bool(url))


def test_the_environment_wins_over_dotenv(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with every other command."""
    _beat(engine)
    Path(".env").write_text("ENRICH_DATABASE_URL=postgresql://enrich@127.0.0.1:1/enrich\n")
    assert quick_health.is_well("worker")
    monkeypatch.delenv("ENRICH_DATABASE_URL")
    assert not quick_health.is_well("worker")
    Path(".env").write_text(f"ENRICH_DATABASE_URL={url}\n")
    assert quick_health.is_well("worker")


def test_a_running_system_of_this_directory_is_asked(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Its address is taken while it runs, and not when another broker is named."""
    _beat(engine)
    monkeypatch.delenv("ENRICH_DATABASE_URL")
    home = Home.at(Path(".enrich"))
    home.prepare()
    servers = {"database_url": url, "broker_url": "redis://127.0.0.1:1/0", "s3_endpoint_url": "http://127.0.0.1:1"}
    (home.run / "env.json").write_text(json.dumps(servers))
    lock = HomeLock(home)
    lock.acquire()
    assert quick_health.is_well("worker")
    monkeypatch.setenv("ENRICH_BROKER_URL", "redis://elsewhere/0")
    assert not quick_health.is_well("worker")
    monkeypatch.delenv("ENRICH_BROKER_URL")
    lock.release()
    assert not quick_health.is_well("worker")


def test_the_command_costs_less_than_a_third_of_a_second_of_cpu(engine: Engine, url: str) -> None:
    """It is run every few seconds beside the work: nothing heavy is imported for a part that is well."""
    _beat(engine)
    program = (
        "import sys, worker.cli; sys.argv = ['enrich', 'health', 'worker']; worker.cli.main(); print(*sys.modules)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ("worker is healthy\n", True) == (done.stderr, url != "")
    assert set(done.stdout.split()) & _HEAVY == set()
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
