"""The real servers of a run, and how they are taken away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.proxy import FaultProxy
from worker import bootstrap, catalog, db
from worker.db import Engine
from worker.local.connection import ConnectionInfo
from worker.local.ports import PortPlan, free_port_base
from worker.local.stack import LocalStack
from worker.objects import ObjectStore
from worker.settings import Settings
from worker.supervision.restart_policy import RestartPolicy

_AWAY_SECONDS = 1.0  # until the supervisor starts a server again
BUCKET = "chaos"


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What the product runs on. The product reaches the store through the proxy, we do not."""

    stack: LocalStack
    info: ConnectionInfo
    proxy: FaultProxy
    engine: Engine  # ours
    store: ObjectStore  # ours
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def environment(self) -> dict[str, str]:
        """``ENRICH_*`` for the product's processes."""
        return {
            **self.info.environment(),
            "ENRICH_BUCKETS": BUCKET,
            "ENRICH_S3_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}",
        }

    def restart(self, name: str, how: signal.Signals) -> float:
        """Take a server away and have it restarted.

        Args:
            name: ``postgres`` or ``valkey``.
            how: SIGQUIT is PostgreSQL's immediate shutdown; SIGKILL loses what Valkey holds.

        Returns:
            Seconds until it was ready again.
        """
        supervisor, began = self.stack.supervisor, time.monotonic()
        with self._one_at_a_time:
            watched = supervisor._watched[name]
            before = watched.child.pid
            os.kill(before, how)
            while watched.child.pid == before:
                supervisor.check()
                time.sleep(0.05)
            supervisor.wait_ready(name)
        return time.monotonic() - began


@contextmanager
def running_servers(home: Path) -> Iterator[Servers]:
    """All three servers on free ports with a migrated database, and the proxy before the store."""
    stack = LocalStack(
        home,
        ports=PortPlan(base=free_port_base()),
        bucket=BUCKET,
        webhook_url="",
        durable=False,
        # However often a server is taken away, it comes back.
        policy=RestartPolicy(first_delay=_AWAY_SECONDS, quick=0.0),
    )
    with stack, FaultProxy(stack.ports.s3) as proxy:
        info = stack.connection_info()
        engine = db.connect(info.database_url, name="chaos", pool_size=3)
        store = bootstrap.store(_settings(info))
        try:
            catalog.schema.migrate(engine)
            yield Servers(stack=stack, info=info, proxy=proxy, engine=engine, store=store)
        finally:
            store.close()
            engine.dispose()


def _settings(info: ConnectionInfo) -> Settings:
    given = info.environment()
    return Settings.model_validate({name.removeprefix("ENRICH_").lower(): value for name, value in given.items()})
