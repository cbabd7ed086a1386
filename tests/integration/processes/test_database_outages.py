"""A database that is away for a while, under uploads to a store that posts each event once: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import text

from tests.integration.processes.site import revive_server
from tests.pictures import picture
from tests.servers import RunningServers, start_servers
from worker import bootstrap, catalog, db
from worker.db import Engine
from worker.local.ports import PortPlan, free_port_base
from worker.local.probes import http_request
from worker.objects import ObjectStore
from worker.settings import Settings
from worker.types import ObjectRef

_BUCKET = "photos"
_AWAY_SECONDS = 10.0
_LATEST_SECONDS = 30.0


@dataclass
class System:
    """A store that posts its events to an API, and the database of that API."""

    servers: RunningServers
    engine: Engine
    store: ObjectStore
    logs: Path
    uploaded: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.servers.environment(),
            "ENRICH_BUCKETS": _BUCKET,
            "ENRICH_API_PORT": str(self.servers.ports.api),
        }

    @contextmanager
    def process(self, kind: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.logs / f"{kind}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "worker", kind], env=self.environment(), stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def upload(self, number: int) -> None:
        key = f"{number:04}.jpg"
        self.store.put(ObjectRef(bucket=_BUCKET, key=key), picture(), "image/jpeg")
        self.uploaded.append(key)

    @contextmanager
    def uploads(self, *, a_second: float) -> Iterator[None]:
        """Upload all the while, at a steady rate."""
        stop = threading.Event()

        def run(pool: ThreadPoolExecutor) -> None:
            number = 0
            while not stop.wait(1 / a_second):
                pool.submit(self.upload, number)
                number += 1

        with ThreadPoolExecutor(4) as pool:
            thread = threading.Thread(target=run, args=(pool,))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()

    def sources(self) -> dict[str, str]:
        """What each object in the ledger was first made known by."""
        with self.engine.connect() as connection:
            return {row.key: row.source for row in connection.execute(text("SELECT key, source FROM inbox"))}

    def until(self, holds: Callable[[], bool], *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, (
                f"{len(self.uploaded)} uploads, {len(self.sources())} known\n{self.log()}"
            )
            time.sleep(0.1)

    def log(self) -> str:
        return "\n".join(path.read_text()[-3_000:] for path in sorted(self.logs.iterdir()))

    def ready(self) -> bool:
        try:
            return http_request(self.servers.ports.api, "GET", "/readyz")[0] == 200
        except OSError:
            return False


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    ports = PortPlan(base=free_port_base())
    hook = f"http://127.0.0.1:{ports.api}/v1/events/seaweedfs"
    (tmp_path / "logs").mkdir()
    with start_servers(tmp_path / "servers", webhook_url=hook, ports=ports) as servers:
        engine = db.connect(servers.database_url, name="test", pool_size=2)
        catalog.schema.migrate(engine)
        given = {name.removeprefix("ENRICH_").lower(): value for name, value in servers.environment().items()}
        store = bootstrap.store(Settings.model_validate(given))
        yield System(servers=servers, engine=engine, store=store, logs=tmp_path / "logs")
        store.close()
        engine.dispose()


def test_a_restart_of_the_database_under_load_loses_no_event_and_makes_none_late(system: System) -> None:
    """Killed, and away for ten seconds: every upload is known by its own event within seconds of its return."""
    with system.process("api"):
        system.until(system.ready, seconds=60)
        with system.uploads(a_second=20):
            time.sleep(2)
            os.kill(system.servers.supervisor._watched["postgres"].child.pid, signal.SIGKILL)
            time.sleep(_AWAY_SECONDS)
            revive_server(system.servers, "postgres")
            back = time.monotonic()
            time.sleep(2)
        system.until(lambda: len(system.sources()) >= len(system.uploaded), seconds=_LATEST_SECONDS)
        assert time.monotonic() - back < _LATEST_SECONDS
    assert len(system.uploaded) > 200, "there was no load"
    assert dict.fromkeys(system.uploaded, "seaweedfs") == system.sources()


def test_events_wait_for_a_database_that_has_no_connection_to_spare(system: System) -> None:
    """Others have taken all of them: events that come meanwhile are held until one is free."""
    with system.process("api"):
        system.until(system.ready, seconds=60)
        with taking_every_connection(system):
            for number in range(5):
                system.upload(number)
            system.until(lambda: not system.ready(), seconds=10)
            time.sleep(2)
        system.until(lambda: len(system.sources()) == 5, seconds=_LATEST_SECONDS)
    assert dict.fromkeys(system.uploaded, "seaweedfs") == system.sources()


@contextmanager
def taking_every_connection(system: System) -> Iterator[None]:
    """Others have all the connections that the server allows; ours were ended."""
    taken = [psycopg2.connect(system.servers.database_url)]
    taken[0].autocommit = True
    taken[0].cursor().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'enrich %'"
    )
    system.engine.dispose()
    try:
        while True:
            taken.append(psycopg2.connect(system.servers.database_url))
    except psycopg2.OperationalError:
        yield
    finally:
        for each in taken:
            each.close()
