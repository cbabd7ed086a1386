"""The local system: starts servers and processes, prints their addresses, and stops them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from pydantic import SecretStr

from worker import bootstrap, catalog, db, settings
from worker.db import Engine
from worker.local.connection import ConnectionInfo
from worker.local.home import HomeLock
from worker.local.ports import PortPlan
from worker.local.probes import http_request
from worker.local.stack import LocalStack, Part, Replacements
from worker.open_database import require_database
from worker.pipeline.operations import health, system_status
from worker.pipeline.reconciliation import recheck
from worker.settings import Settings
from worker.supervision.child import ChildSpec, NotReadyError
from worker.watched_buckets import EVERY_BUCKET

_OK = 200
#: Created and watched in the embedded store if no other is named.
_BUCKET = "photos"
#: On top of the drain time, for a process to sign off and exit.
_EXIT_SECONDS = 10.0
#: Exit statuses of worker and scheduler that mean no restart: stopped on request, or only a person can help
#: (docs/reference/command-line.md).
_FINAL = frozenset({0, 78})


class System:
    """The embedded servers (or yours), a migrated database, and our three processes, supervised."""

    def __init__(
        self, settings: Settings, *, home: Path, ports: PortPlan, buckets: Sequence[str], say: Callable[[str], None]
    ) -> None:
        """Start nothing yet. ``buckets`` are watched besides those of the settings; the first is the one shown."""
        self._settings = settings
        self._say = say
        self.stack = LocalStack(
            home,
            ports=ports,
            replace=_replacements(settings),
            bucket=_bucket_of(buckets[0]) if buckets else _BUCKET,
            watch=(*buckets, *settings.buckets),
            api_token=settings.api_token.get_secret_value() if settings.api_token else None,
            events_token=settings.api_events_token.get_secret_value() if settings.api_events_token else None,
            hold_api_port=True,
            announce=say,
        )
        self._open = ExitStack()

    def forget_everything(self) -> None:
        """Remove what an earlier run left, before this one starts.

        Raises:
            ServerError: the earlier run is still going on.
        """
        home = self.stack.home
        home.prepare()
        lock = HomeLock(home)
        lock.acquire()
        try:
            shutil.rmtree(home.data)
            (home.root / "credentials.json").unlink(missing_ok=True)
        finally:
            lock.release()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(self.stack.stop)
            self._say("starting the servers …")
            self.stack.start()
            self.engine = self._migrated()
            opening.callback(self.engine.dispose)
            if self.stack.runs(Part.STORE):
                self._create_buckets()
                recheck.request(self.engine)  # events that our store held in memory when it stopped are lost
            self._say("starting the API, the worker and the scheduler …")
            self._start_processes()
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def stay(self) -> None:
        """Print where everything is, and keep it running until Ctrl-C, SIGTERM or a closed terminal."""
        supervisor = self.stack.supervisor
        # The user may press Ctrl-C as soon as the last line appears, so signals are handled before the first one is
        # printed. They raise no exception, which would be lost if it came while an object is finalised.
        with suppress(KeyboardInterrupt), supervisor.signals():
            self._say(self.banner())
            supervisor.run(stopping=self._announce_stop)

    def _announce_stop(self) -> None:
        try:
            unfinished = system_status.totals(self.engine).in_flight
        except Exception as error:
            if not db.is_passing(error):
                raise
            unfinished = 0  # the database has died or is busy, which must not keep us from stopping
        if not unfinished:
            self._say("stopping …")
            return
        what = "1 image" if unfinished == 1 else f"{unfinished:,} images"
        self._say(
            f"stopping: finishing {what}, {self._settings.drain_seconds:.0f} s at most …\n"
            "Press Ctrl-C again to stop at once. Nothing is lost: the next start continues with unfinished images."
        )

    @property
    def info(self) -> ConnectionInfo:
        return self.stack.connection_info()

    def environment(self) -> dict[str, str]:
        """The environment of our processes: every setting is given, so that no ``.env`` and no export overrides one."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENRICH_")}
        return {**inherited, **exported(self._settings), **self.stack.worker_environment()}

    def settings(self) -> Settings:
        """Settings for a client of this system."""
        given = {name.removeprefix("ENRICH_").lower(): value for name, value in self.stack.environment().items()}
        return settings.load(**{**self._settings.model_dump(), **given})

    def banner(self) -> str:
        """Where everything is, for people."""
        info, home = self.info, self.stack.home.root
        return (
            f"{self._pages()}"
            f"\n  API       {info.api_url}/docs\n"
            f"  S3        {info.s3_endpoint_url}\n"
            f"  watched   {self._watched()}\n"
            f"  database  {db.without_password(info.database_url)}\n"
            f"  model     {bootstrap.describe_model(self._settings)}\n"
            f"  data      {home}/data\n"
            f"  logs      {home}/logs\n\n"
            f'  In another shell:  eval "$(enrich env)", upload with any S3 client, and look at `enrich status`.\n'
            f"  Ctrl-C stops everything. Images in progress are finished first.\n"
        )

    def _pages(self) -> str:
        if not self._settings.pages:
            return ""
        # On a line of its own, which fits into 80 columns: some terminals open only what is not broken.
        return (
            f"\n  pages     this link opens them once, within an hour (another: `enrich login`):\n{self.login_link()}\n"
        )

    def login_link(self) -> str:
        """An address of the pages that logs in once, within an hour."""
        from worker.cli import login

        return login.link(self.settings(), self.info.api_url)

    def _watched(self) -> str:
        names = self.info.buckets
        if names == (EVERY_BUCKET,):
            return "every bucket (ENRICH_BUCKETS=*)"
        listed = ", ".join(names) or "nothing"
        return f"{listed}   (to add one: enrich up {' '.join(f'--bucket {name}' for name in names)} --bucket NAME)"

    def _create_buckets(self) -> None:
        """Create the watched buckets that our own store does not have yet."""
        own = self.settings()
        store = bootstrap.store(own)
        for bucket in {_bucket_of(name) for name in own.buckets} - {self.info.bucket, EVERY_BUCKET}:
            store.create_bucket(bucket)
        store.close()

    def _migrated(self) -> Engine:
        engine = db.connect(self.info.database_url, name="up", pool_size=2)
        require_database(engine)
        catalog.schema.migrate(engine)
        if (login := self.stack.worker_login()) is not None:
            with db.transaction(engine) as connection:
                catalog.roles.ensure_login(connection, *login)
                catalog.roles.grant(connection, "worker", login[0])
        return engine

    def _start_processes(self) -> None:
        since = health.now(self.engine)
        supervisor = self.stack.supervisor
        specs = [self._api(), self._process("worker", since), self._process("scheduler", since)]
        for spec in specs:
            supervisor.launch(spec)
        for spec in specs:
            supervisor.wait_ready(spec.name)

    def _api(self) -> ChildSpec:
        listener = self.stack.api_socket
        assert listener is not None  # noqa: S101  # we asked the stack to hold the port
        descriptor = listener.fileno()
        return ChildSpec(
            name="api",
            argv=_command("api", "--fd", str(descriptor)),
            env=self.environment(),
            pass_fds=[descriptor],
            probe=lambda: _require_api(self.info.api_port),
            purpose="API",
        )

    def _metrics(self, kind: str) -> dict[str, str]:
        """The scheduler's port comes after those of the workers: two processes cannot share one."""
        port = self._settings.metrics_port
        return {"ENRICH_METRICS_PORT": str(port + self._settings.processes)} if port and kind == "scheduler" else {}

    def _process(self, kind: str, since: datetime) -> ChildSpec:
        return ChildSpec(
            name=kind,
            argv=_command(kind),
            env=self.environment() | self._metrics(kind),
            probe=lambda: _require_reported(self.engine, kind, since),
            ready_seconds=300.0,  # the model may have to be downloaded
            stop_seconds=self._settings.drain_seconds + _EXIT_SECONDS,
            final=_FINAL,
            purpose=kind,
        )


def _bucket_of(name: str) -> str:
    """The bucket of ``bucket`` or ``bucket/prefix``."""
    return name.partition("/")[0]


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, so that everything is stopped on the way out."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handled = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _command(*arguments: str) -> list[str]:
    # -P: a folder named `worker` in the user's directory is not ours.
    return [sys.executable, "-P", "-m", "worker", *arguments]


def _require_api(port: int) -> None:
    status, body = http_request(port, "GET", "/readyz")
    if status != _OK:
        raise NotReadyError(f"/readyz answers {status}: {body.decode(errors='replace')[:300]}")


def _require_reported(engine: Engine, kind: str, since: datetime) -> None:
    if not health.reported_since(engine, kind=kind, host=socket.gethostname(), since=since):
        raise NotReadyError(f"the {kind} has not reported to the database yet")


def exported(given: Settings) -> dict[str, str]:
    """Settings as environment variables; unset ones are left out."""
    return {f"ENRICH_{name.upper()}": _text(value) for name, value in given if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _replacements(settings: Settings) -> Replacements:
    """Servers that the user has named; defaults do not count."""
    given = settings.model_fields_set
    secret = settings.s3_secret_access_key
    return Replacements(
        database_url=settings.database_url if "database_url" in given else None,
        broker_url=settings.broker_url if "broker_url" in given else None,
        s3_endpoint_url=settings.s3_endpoint_url,
        s3_access_key_id=settings.s3_access_key_id,
        s3_secret_access_key=secret.get_secret_value() if secret else None,
        s3_region=settings.s3_region,
        s3_addressing_style=settings.s3_addressing_style,
    )
