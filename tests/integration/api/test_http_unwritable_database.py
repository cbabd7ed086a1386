"""A database that answers every question and takes no event: it is read-only, or its disk is full."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.integration.api.conftest import FakeWakeUp, _services
from tests.integration.api.live import record, serve
from tests.integration.api.test_http_outages import execute, hang_up
from tests.ledger import pending
from tests.servers import RunningServers, start_servers
from worker import catalog, db, ledger
from worker.db import Engine, transaction
from worker.ledger.reconciliations import Target
from worker.local.stack import Part
from worker.pipeline.intake.group_commit import WaitLimits
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.reconciliation.recheck import Recheck


def holding(engine: Engine, *, seconds: float) -> Ingest:
    return Ingest(
        engine=engine,
        notify=lambda: None,
        hold=WaitLimits(seconds=seconds, callers=10, items=100),
        recheck=Recheck(engine, pause=0.1),
    )


def read_only(postgres: RunningServers, engine: Engine, *, on: bool) -> None:
    """As after a failover, where our address leads to a standby."""
    execute(postgres, f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = {on}")
    hang_up(postgres, engine)


def until_ready(api, *, ready: bool) -> None:
    deadline = time.monotonic() + 10
    while (api.get("/readyz").status == 200) is not ready:
        assert time.monotonic() < deadline, api.get("/readyz").json
        time.sleep(0.05)


def asked(engine: Engine) -> bool:
    """Whether a comparison is asked for."""
    with transaction(engine) as connection:
        return bool(connection.execute(text("SELECT count(asked_at) FROM reconciliations")).scalar_one())


def test_a_read_only_database_is_not_ready_and_takes_no_event(services, postgres, engine):
    """Reading goes on; an event is refused in the end, with when to come back, and a comparison follows."""
    with transaction(engine) as connection:
        ledger.reconciliations.watch(connection, [Target(bucket="photos")], interval=3_600)
    with serve(replace(services, ingest=holding(engine, seconds=0.3))) as api:
        read_only(postgres, engine, on=True)
        until_ready(api, ready=False)
        assert "read-only" == api.get("/readyz").json["database"]
        assert "read-only" in api.get("/readyz").json["reason"]
        assert 200 == api.get("/v1/status").status
        answer = api.post("/v1/events/s3", record("a.jpg"))
        assert (503, "5") == (answer.status, answer.headers["retry-after"])
        assert "the database is read-only; try again" == answer.detail
        assert not asked(engine)
        read_only(postgres, engine, on=False)
        until_ready(api, ready=True)
        deadline = time.monotonic() + 10
        while not asked(engine):
            assert time.monotonic() < deadline, "nobody asked for a comparison"
            time.sleep(0.05)
        assert 200 == api.post("/v1/events/s3", record("a.jpg")).status


def test_an_event_waits_for_the_end_of_a_failover(services, postgres, engine):
    """A few seconds on a standby cost the sender a few seconds, small and large notifications alike."""
    with serve(replace(services, ingest=holding(engine, seconds=20))) as api:
        read_only(postgres, engine, on=True)
        until_ready(api, ready=False)
        for body in (record("small.jpg"), record("large.jpg") | {"padding": " " * 20_000}):
            read_only(postgres, engine, on=True)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(api.post, "/v1/events/s3", body)
                time.sleep(0.5)
                assert not sending.done()
                read_only(postgres, engine, on=False)
                assert 200 == sending.result(10).status
    assert 2 == pending(engine)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test may fill."""
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", str(tmp_path)],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("file systems cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            return ballast


def test_a_database_whose_disk_is_full_is_not_ready_and_takes_no_event(small_disk):
    """PostgreSQL reads on without a byte to spare; the sender is told to come back, and both are well again after."""
    with start_servers(small_disk / "home", parts=[Part.DATABASE]) as servers:
        engine = db.connect(servers.database_url, name="test", pool_size=5)
        catalog.schema.migrate(engine)
        services = replace(_services(engine, FakeWakeUp(), small_disk), ingest=holding(engine, seconds=0.3))
        with serve(services) as api:
            until_ready(api, ready=True)
            ballast = fill(small_disk)
            until_ready(api, ready=False)
            assert "full" == api.get("/readyz").json["database"]
            long = [record(f"{number}-" + "k" * 900) for number in range(40)]
            refused = [answer for each in long if (answer := api.post("/v1/events/s3", each)).status != 200]
            assert {(503, "5", "the database is full; try again")} == {
                (answer.status, answer.headers["retry-after"], answer.detail) for answer in refused
            }
            assert 200 == api.get("/v1/status").status
            ballast.unlink()
            until_ready(api, ready=True)
            assert {200} == {api.post("/v1/events/s3", each).status for each in long}
        assert 40 == pending(engine)
        engine.dispose()
