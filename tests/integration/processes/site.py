"""Where a worker under test works: uploads, hints, and the processes themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from redis import Redis
from sqlalchemy import text

from tests.pictures import picture
from tests.servers import RunningServers
from worker import bootstrap, broker, db, ledger
from worker.broker import WakeUp
from worker.db import Engine, transaction
from worker.ledger.totals import Totals
from worker.objects import ObjectStore
from worker.pipeline.operations import system_status
from worker.settings import Settings
from worker.types import Hint, ObjectRef

_CHECKOUT = Path(__file__).parents[3]
FAKE_WORKER = ("-m", "tests.integration.processes.fake_worker")
SCHEDULER = ("-m", "worker", "scheduler")


@dataclass
class Site:
    """One test's servers, and what runs on them."""

    database_url: str
    broker_url: str
    store_of: RunningServers
    bucket: str
    logs: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, **extra: str) -> dict[str, str]:
        """What processes under test run with: little patience, small batches."""
        return {
            **os.environ,
            **self.store_of.environment(),
            "ENRICH_DATABASE_URL": self.database_url,
            "ENRICH_BROKER_URL": self.broker_url,
            "ENRICH_BUCKETS": self.bucket,
            "ENRICH_LEASE_SECONDS": "2",
            "ENRICH_SWEEP_SECONDS": "0.5",
            "ENRICH_CLAIM_BATCH": "4",
            "ENRICH_RECONCILE_SECONDS": "0",
            **extra,
        }

    @cached_property
    def settings(self) -> Settings:
        given = {name: value for name, value in self.environment().items() if name.startswith("ENRICH_")}
        return Settings.model_validate({name.removeprefix("ENRICH_").lower(): each for name, each in given.items()})

    @cached_property
    def engine(self) -> Engine:
        return db.connect(self.database_url, name="test", pool_size=2)

    @cached_property
    def store(self) -> ObjectStore:
        return bootstrap.store(self.settings)

    def notify(self) -> None:
        """What the API does once a hint is committed."""
        WakeUp(self.settings).send()

    def upload(self, *keys: str, colour: str = "red", notify: bool = True) -> None:
        """Put pictures and hint at them, as the API would."""
        refs = [ObjectRef(bucket=self.bucket, key=key) for key in keys]
        for ref in refs:
            self.store.put(ref, picture(colour), "image/jpeg")
        with transaction(self.engine) as connection:
            ledger.hints.hint(connection, [Hint(ref=ref, source="test", event="put") for ref in refs])
        if notify:
            self.notify()

    @cached_property
    def broker(self) -> Redis:
        return Redis.from_url(self.broker_url)

    def answers_rings(self) -> bool:
        """Ring, and see whether a worker takes the wake-up."""
        self.notify()
        time.sleep(0.3)
        return not self.broker.exists(broker.WAKE_UP_KEY) and not self.broker.llen(broker.QUEUE)

    # -- processes ---------------------------------------------------------------------------------------------------
    def start(self, program: Sequence[str] = FAKE_WORKER, *, wait: bool = True, **env: str) -> subprocess.Popen[bytes]:
        """Start a process; ``wait`` until it has reported to the database."""
        before = {each.name for each in self.processes()} if wait else set()
        with (self.logs / f"{len(self.running)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *program], env=self.environment(**env), cwd=_CHECKOUT, stdout=log, stderr=log
            )
        self.running.append(process)
        if wait:  # not by the time it began: clocks may be set back
            self.until(lambda: any(each.name not in before for each in self.processes()), seconds=60)
        return process

    def processes(self) -> list[ledger.heartbeats.ProcessStatus]:
        """Who has reported and not said goodbye."""
        with transaction(self.engine) as connection:
            return ledger.heartbeats.processes(connection)

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return (self.logs / f"{self.running.index(process)}.log").read_text()

    def close(self) -> None:
        """End whatever still runs."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.engine.dispose()

    # -- looking -----------------------------------------------------------------------------------------------------
    def totals(self) -> Totals:
        return system_status.totals(self.engine)

    def until(self, holds: Callable[[], bool], *, seconds: float = 90.0) -> float:
        """Wait, and say for how long; everything's logs are shown when it takes longer than ``seconds``.

        By default long enough for a clock that was set back: what was hinted before is due when it is there again.
        """
        started = time.monotonic()
        while not holds():
            if (waited := time.monotonic() - started) > seconds:
                raise AssertionError(f"not within {waited:.0f} s; {self.totals()}\n{self._logs()}")
            time.sleep(0.05)
        return time.monotonic() - started

    def enriched_at(self) -> list[datetime]:
        """When each image was enriched last."""
        with transaction(self.engine) as connection:
            return list(connection.execute(text("SELECT enriched_at FROM images ORDER BY key")).scalars())

    def attempts(self) -> list[int]:
        """Of each object."""
        with transaction(self.engine) as connection:
            return list(connection.execute(text("SELECT attempts FROM inbox ORDER BY key")).scalars())

    def tokens(self) -> set[int]:
        """Claims in somebody's hands."""
        with transaction(self.engine) as connection:
            return set(connection.execute(text("SELECT token FROM inbox WHERE token IS NOT NULL")).scalars())

    def until_enriched(self, count: int, *, seconds: float = 90.0) -> float:
        return self.until(lambda: self.totals().enriched >= count, seconds=seconds)

    def _logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-4_000:]}" for path in sorted(self.logs.iterdir()))


def kill_server(servers: RunningServers, name: str) -> None:
    """As the kernel's memory killer would."""
    os.kill(servers.supervisor._watched[name].child.pid, signal.SIGKILL)


def revive_server(servers: RunningServers, name: str) -> None:
    """Let the supervisor restart it, as it does while `enrich up` runs."""
    watched = servers.supervisor._watched[name]
    first = watched.child.pid
    while watched.child.pid == first:
        servers.supervisor.check()
        time.sleep(0.05)
    servers.supervisor.wait_ready(name)


def terminate(process: subprocess.Popen[bytes], *, seconds: float = 15.0) -> int:
    """Ask a process to end, and return its exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(seconds)


@contextmanager
def paused(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While inside, the process does not run at all."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
