"""The embedded servers as one unit: start the needed ones, say how to reach them, stop everything."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import ServerError
from worker.local.connection import ConnectionInfo, forget_connection_info, save_connection_info
from worker.local.disk import DiskWatch
from worker.local.home import Credentials, Home, HomeLock
from worker.local.ports import LOOPBACK, PortPlan, listen, require_free
from worker.local.postgres import WORKER_ROLE, Postgres
from worker.local.probes import require_reachable
from worker.local.seaweedfs import SeaweedFS
from worker.local.valkey import Valkey
from worker.supervision.child import ChildSpec
from worker.supervision.restart_policy import RestartPolicy
from worker.supervision.supervisor import Announce, Supervisor
from worker.watched_buckets import EVERY_BUCKET


class Part(StrEnum):
    """A server that can be started here, or replaced by a URL."""

    STORE = "store"
    BROKER = "broker"
    DATABASE = "database"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacements:
    """Servers of the user's own. A part whose URL is given is not started."""

    database_url: str | None = None
    broker_url: str | None = None
    s3_endpoint_url: str | None = None
    s3_access_key_id: str | None = None  # with s3_endpoint_url; None: boto3's own chain
    s3_secret_access_key: str | None = None
    s3_region: str = "us-east-1"
    s3_addressing_style: str = "auto"


class LocalStack:
    """The servers under one home, and the children that use them.

    As a context manager it starts the servers on entry and stops everything on exit. ``start``, ``run`` and ``stop``
    belong to one thread. After ``stop`` a stack is not started again: make another.
    """

    def __init__(
        self,
        home: Path,
        *,
        ports: PortPlan | None = None,
        replace: Replacements | None = None,
        parts: Iterable[Part] = Part,
        bucket: str = "photos",
        watch: Sequence[str] = (),
        api_token: str | None = None,
        events_token: str | None = None,
        webhook_url: str | None = None,
        hold_api_port: bool = False,
        durable: bool = True,
        announce: Announce | None = None,
        policy: RestartPolicy | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            home: Directory of data, logs and credentials; created when missing.
            ports: Which ports to use; the default plan starts at 8700.
            replace: Servers that are not started because there are others.
            parts: What to start, of what is not replaced.
            bucket: Watched, and created when missing, in the embedded store.
            watch: What is watched besides, as in ENRICH_BUCKETS.
            api_token: Bearer token of the API; None: the generated one.
            events_token: What the store sends its events with, good for nothing else; None: the generated one.
            webhook_url: Where the store posts its events; None: the API's intake. An empty string: nowhere.
            hold_api_port: Listen on the API's port here, from ``start`` to ``stop``, and let the API inherit the socket
                (``api_socket``). The store posts each event once; while the API restarts, events wait in the kernel
                instead of being refused and lost.
            durable: False trades safety from power cuts for speed, for tests.
            announce: Called with a sentence whenever something happens; None: the log.
            policy: When to restart a child and when to give up.
        """
        self.home = Home.at(home)
        self.ports = ports or PortPlan()
        self.api_socket: socket.socket | None = None
        self._replace = replace or Replacements()
        self._parts = frozenset(parts)
        self._bucket = bucket
        self._watch = tuple(watch)
        self._given_token, self._given_events_token = api_token, events_token
        self._webhook_url = webhook_url
        self._hold_api_port = hold_api_port
        self._durable = durable
        self._announce = announce
        self._policy = policy
        self._lock = HomeLock(self.home)
        self._supervisor: Supervisor | None = None
        self._info: ConnectionInfo | None = None

    # -- life --------------------------------------------------------------------------------------------------------
    def start(self) -> ConnectionInfo:
        """Start all servers in parallel, and return once each has proved that it works.

        Raises:
            ServerError: the home is in use or of another version, a port is taken, a server is not installed, does not
                start, or a replacement cannot be reached. Whatever was started has been stopped again.
        """
        self.home.prepare()
        lock = self._lock.acquire()
        try:
            self._start(keep_open=[lock])
        except BaseException:
            self.stop()
            raise
        return self.connection_info()

    def _start(self, keep_open: list[int]) -> None:
        credentials = self.home.credentials()
        self._replace = _without_our_own(self._replace, credentials)
        self._parts -= _replaced(self._replace)
        self._check_replacements()
        require_free(self._wanted_ports())
        if self._hold_api_port:
            self.api_socket = listen(self.ports.api)
        self._supervisor = Supervisor(
            self.home.logs,
            announce=self._announce,
            policy=self._policy,
            keep_open=keep_open,
            housekeeping=DiskWatch(self.home.logs).look,
        )
        self._info = self._describe(credentials)
        _all_at_once(self._supervisor, self._jobs(self._supervisor, credentials))
        save_connection_info(self.home, self._info)

    def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Keep everything running until a signal, or until ``until`` says so; then stop. See ``Supervisor.run``."""
        try:
            self.supervisor.run(until=until)
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop everything that was started. Safe to call twice."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
            forget_connection_info(self.home)
        if self.api_socket is not None:
            self.api_socket.close()
            self.api_socket = None
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what runs ---------------------------------------------------------------------------------------------------
    @property
    def supervisor(self) -> Supervisor:
        """Where to start the children that use these servers.

        Raises:
            ServerError: the stack is not running.
        """
        if self._supervisor is None:
            raise ServerError(f"nothing is running under {self.home.root}; start it with `enrich up`")
        return self._supervisor

    def connection_info(self) -> ConnectionInfo:
        """How to reach the running servers. Raises like ``supervisor``."""
        if self._info is None:
            raise ServerError(f"nothing is running under {self.home.root}; start it with `enrich up`")
        return self._info

    def runs(self, part: Part) -> bool:
        """Whether a part is started here, and not replaced; known once the stack was started."""
        return part in self._parts

    def environment(self) -> dict[str, str]:
        """The ``ENRICH_*`` variables that children need. Raises like ``supervisor``."""
        return self.connection_info().environment()

    def worker_login(self) -> tuple[str, str] | None:
        """Name and password of the role that our own processes have in our own database; None: it is another's."""
        if not self.runs(Part.DATABASE):
            return None
        return WORKER_ROLE, self._database(self.home.credentials()).worker_password

    def worker_environment(self) -> dict[str, str]:
        """The same for our own processes, which need fewer rights in our own database. Raises like ``supervisor``."""
        variables = self.environment()
        if self.runs(Part.DATABASE):
            variables["ENRICH_DATABASE_URL"] = self._database(self.home.credentials()).worker_url
        return variables

    # -- parts -------------------------------------------------------------------------------------------------------
    def _jobs(self, supervisor: Supervisor, credentials: Credentials) -> list[Callable[[], None]]:
        """Preparing and starting each part; independent of each other."""
        jobs: list[Callable[[], None]] = []
        if Part.STORE in self._parts:
            store = self._store(credentials)
            jobs.append(lambda: _start_part(supervisor, store.prepare, store.children))
        if Part.DATABASE in self._parts:
            database = self._database(credentials)
            jobs.append(lambda: _start_part(supervisor, database.prepare, lambda: [database.child()]))
        if Part.BROKER in self._parts:
            broker = Valkey(home=self.home, ports=self.ports, credentials=credentials)
            jobs.append(lambda: _start_part(supervisor, broker.prepare, lambda: [broker.child()]))
        return jobs

    def _store(self, credentials: Credentials) -> SeaweedFS:
        intake = f"http://{LOOPBACK}:{self.ports.api}/v1/events/seaweedfs"
        return SeaweedFS(
            home=self.home,
            ports=self.ports,
            credentials=credentials,
            bucket=self._bucket,
            webhook_url=intake if self._webhook_url is None else self._webhook_url or None,
            webhook_token=self._given_events_token or credentials.events_token,
        )

    def _database(self, credentials: Credentials) -> Postgres:
        return Postgres(home=self.home, ports=self.ports, credentials=credentials, durable=self._durable)

    def _describe(self, credentials: Credentials) -> ConnectionInfo:
        replace, ports = self._replace, self.ports
        ours = replace.s3_endpoint_url is None
        return ConnectionInfo(
            pid=os.getpid(),
            home=str(self.home.root),
            api_url=f"http://{LOOPBACK}:{ports.api}",
            api_port=ports.api,
            api_token=self._given_token or credentials.api_token,
            api_events_token=self._given_events_token or credentials.events_token,
            database_url=replace.database_url or self._database(credentials).url,
            broker_url=replace.broker_url or Valkey(home=self.home, ports=ports, credentials=credentials).url,
            s3_endpoint_url=replace.s3_endpoint_url or f"http://{LOOPBACK}:{ports.s3}",
            s3_region=replace.s3_region,
            s3_access_key_id=credentials.s3_access_key_id if ours else replace.s3_access_key_id,
            s3_secret_access_key=credentials.s3_secret_access_key if ours else replace.s3_secret_access_key,
            s3_addressing_style="path" if ours else replace.s3_addressing_style,
            bucket=self._bucket,
            buckets=self._watched(),
        )

    def _watched(self) -> tuple[str, ...]:
        """In a store that is not ours, only what was named: it may have no bucket of the name we would make."""
        own = (self._bucket,) if Part.STORE in self._parts else ()
        return (EVERY_BUCKET,) if EVERY_BUCKET in self._watch else tuple(dict.fromkeys((*own, *self._watch)))

    def _wanted_ports(self) -> dict[str, int]:
        wanted = {"API": self.ports.api}
        if Part.STORE in self._parts:
            wanted |= self.ports.store()
        if Part.BROKER in self._parts:
            wanted["Valkey"] = self.ports.valkey
        if Part.DATABASE in self._parts:
            wanted["PostgreSQL"] = self.ports.postgres
        return wanted

    def _check_replacements(self) -> None:
        replace = self._replace
        if replace.database_url:
            require_reachable(replace.database_url, variable="ENRICH_DATABASE_URL", default_port=5432)
        if replace.broker_url:
            require_reachable(replace.broker_url, variable="ENRICH_BROKER_URL", default_port=6379)
        if replace.s3_endpoint_url:
            port = 443 if replace.s3_endpoint_url.startswith("https:") else 80
            require_reachable(replace.s3_endpoint_url, variable="ENRICH_S3_ENDPOINT_URL", default_port=port)


def _without_our_own(given: Replacements, credentials: Credentials) -> Replacements:
    """Drop URLs that carry this home's own passwords: a shell that ran ``eval "$(enrich env)"`` still exports them."""
    our_store = given.s3_access_key_id == credentials.s3_access_key_id
    return replace(
        given,
        database_url=None if credentials.database_password in (given.database_url or "") else given.database_url,
        broker_url=None if credentials.broker_password in (given.broker_url or "") else given.broker_url,
        s3_endpoint_url=None if our_store else given.s3_endpoint_url,
    )


def _replaced(given: Replacements) -> frozenset[Part]:
    urls = {
        Part.DATABASE: given.database_url,
        Part.BROKER: given.broker_url,
        Part.STORE: given.s3_endpoint_url,
    }
    return frozenset(part for part, url in urls.items() if url)


def _start_part(supervisor: Supervisor, prepare: Callable[[], None], children: Callable[[], list[ChildSpec]]) -> None:
    prepare()
    supervisor.start(*children())


def _all_at_once(supervisor: Supervisor, jobs: list[Callable[[], None]]) -> None:
    """Run jobs in parallel. The first failure interrupts the others, and so does a signal.

    Raises:
        ServerError: the first failure.
        KeyboardInterrupt: a signal asked for the end.
    """
    failures: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 (raised below, in the caller's thread)
            failures.append(error)
            supervisor.interrupt()

    with supervisor.signals(), ThreadPoolExecutor(thread_name_prefix="start") as pool:
        list(pool.map(run, jobs))
    if supervisor.signalled:
        raise KeyboardInterrupt
    if failures:
        raise failures[0]
