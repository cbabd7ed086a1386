"""The real servers, for tests: started once per session, with a fresh database, bucket or broker database per test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from worker.local.connection import ConnectionInfo
from worker.local.ports import PortPlan, free_port_base
from worker.local.postgres import Postgres
from worker.local.probes import create_bucket
from worker.local.stack import LocalStack, Part
from worker.supervision.supervisor import Supervisor

_BROKER_DATABASES = 16


@dataclass(frozen=True, kw_only=True)
class RunningServers:
    """What runs, and quick ways to a clean slate in it."""

    stack: LocalStack
    info: ConnectionInfo
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def supervisor(self) -> Supervisor:
        return self.stack.supervisor

    @property
    def ports(self) -> PortPlan:
        return self.stack.ports

    @property
    def database_url(self) -> str:
        return self.info.database_url

    @property
    def broker_url(self) -> str:
        return self.info.broker_url

    @property
    def s3_endpoint_url(self) -> str:
        return self.info.s3_endpoint_url

    def environment(self) -> dict[str, str]:
        """``ENRICH_*`` variables of these servers, for processes under test, which may read every bucket."""
        return {**self.info.environment(), "ENRICH_BUCKETS": "*"}

    # -- PostgreSQL --------------------------------------------------------------------------------------------------
    def create_template(self, name: str, prepare: Callable[[str], None], *, template: str = "enrich") -> str:
        """Make a database once, e.g. by running migrations on its URL, for ``fresh_database(template=…)`` to copy.

        ``prepare`` closes its connections: PostgreSQL copies only databases that nobody uses.
        """
        self._postgres().query(f"CREATE DATABASE {name} TEMPLATE {template}")
        prepare(self._postgres().url_of(name))
        return name

    @contextmanager
    def fresh_database(self, *, template: str = "enrich") -> Iterator[str]:
        """URL of a new database with pgvector installed, or a copy of a template; dropped afterwards."""
        name = f"test_{next(self._numbers)}"
        self._postgres().query(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self._postgres().url_of(name)
        finally:
            self._postgres().query(f"DROP DATABASE {name} WITH (FORCE)")

    def _postgres(self) -> Postgres:
        stack = self.stack
        return Postgres(home=stack.home, ports=stack.ports, credentials=stack.home.credentials())

    # -- SeaweedFS ---------------------------------------------------------------------------------------------------
    def fresh_bucket(self) -> str:
        """Name of a new, empty bucket."""
        name = f"test-{next(self._numbers)}"
        credentials = self.stack.home.credentials()
        create_bucket(
            self.ports.s3,
            name,
            access_key_id=credentials.s3_access_key_id,
            secret_access_key=credentials.s3_secret_access_key,
        )
        return name

    # -- Valkey ------------------------------------------------------------------------------------------------------
    def fresh_broker_url(self) -> str:
        """URL of an emptied broker database; there are fifteen, used in turn."""
        number = 1 + next(self._numbers) % (_BROKER_DATABASES - 1)
        url = f"{self.broker_url.removesuffix('/0')}/{number}"
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url


@contextmanager
def start_servers(
    home: Path,
    parts: Iterable[Part] = Part,
    *,
    webhook_url: str = "",
    ports: PortPlan | None = None,
    hold_api_port: bool = False,
    durable: bool = False,
) -> Iterator[RunningServers]:
    """Start all three servers, or some, on free ports; stop them afterwards.

    Args:
        home: A fresh directory, e.g. pytest's ``tmp_path``.
        parts: ``[Part.DATABASE]`` for PostgreSQL alone, and so on.
        webhook_url: Where the store posts its events, with the API token of ``info``; default nowhere.
        ports: Default: free ones. The API's port is ``ports.api``, for a server under test.
        hold_api_port: See ``LocalStack``.
        durable: What is committed is on the disk, as in production: for measuring.
    """
    stack = LocalStack(
        home,
        ports=ports or PortPlan(base=free_port_base()),
        parts=parts,
        webhook_url=webhook_url,
        hold_api_port=hold_api_port,
        durable=durable,
    )
    with stack:
        yield RunningServers(stack=stack, info=stack.connection_info())
