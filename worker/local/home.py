"""The home: the directory of the embedded servers, its layout, owner and lock."""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from worker.errors import ServerError

#: Raised when data written by an older version can no longer be used as it is.
FORMAT = 1
#: A run that was killed is cleaned up by its orphan reaper within this many seconds.
_CLEANUP_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Credentials, generated on the first start and kept, so that clients once set up keep working."""

    s3_access_key_id: str
    s3_secret_access_key: str
    database_password: str
    broker_password: str
    store_key: str  # signs the requests that the store's own parts make to each other
    api_token: str

    @classmethod
    def generate(cls) -> Credentials:
        return cls(
            s3_access_key_id="ENRICH" + secrets.token_hex(7).upper(),
            s3_secret_access_key=secrets.token_urlsafe(30),
            database_password=secrets.token_urlsafe(24),
            broker_password=secrets.token_urlsafe(24),
            store_key=secrets.token_urlsafe(24),
            api_token=secrets.token_urlsafe(24),
        )

    @property
    def events_token(self) -> str:
        """The API's token for the store's events: from a key that the store has anyway, so nothing more is kept."""
        return hmac.new(self.store_key.encode(), b"events", "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under one directory. ``root`` is absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> Home:
        return cls(path.expanduser().absolute())

    @property
    def data(self) -> Path:
        """What survives a restart; deleting it resets everything."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Files that matter only while servers run: lock, sockets, generated configuration."""
        return self.root / "run"

    def prepare(self) -> None:
        """Create the directories, or check that existing ones can be used.

        Raises:
            ServerError: another version wrote it, or it cannot be written.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_format()
            for directory in (self.data, self.logs, self.run):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServerError(f"cannot use {self.root}: {error.strerror}; choose another with ENRICH_HOME") from error

    @property
    def port_base(self) -> int | None:
        """The first port of the last start; None before the first."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            return int(json.loads(self._ports.read_text())["base"])
        return None

    def remember_port_base(self, base: int) -> None:
        """Make later starts use the same ports."""
        write_private(self._ports, json.dumps({"base": base}) + "\n")

    @property
    def _ports(self) -> Path:
        return self.root / "ports.json"

    def _check_format(self) -> None:
        marker = self.root / "format.json"
        if not marker.exists():
            if self.data.exists():
                raise ServerError(
                    f"{self.root} has data but no format.json; move it away or choose another ENRICH_HOME"
                )
            write_private(marker, json.dumps({"format": FORMAT}) + "\n")
        found = _read_json(marker).get("format")
        if found != FORMAT:
            raise ServerError(
                f"{self.root} has format {found!r}, this version reads {FORMAT}; nothing was changed. "
                "Use the version that wrote it, or move it away and start afresh"
            )

    def credentials(self) -> Credentials:
        """This home's credentials, generated on first use."""
        path = self.root / "credentials.json"
        if not path.exists():
            write_private(path, json.dumps(asdict(Credentials.generate()), indent=2) + "\n")
        known = _read_json(path)
        try:
            return Credentials(**{field.name: str(known[field.name]) for field in fields(Credentials)})
        except KeyError as error:
            raise ServerError(f"{path} lacks {error}; restore it, or remove {self.root} to start afresh") from error


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner alone."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ServerError(f"cannot read {path}: {error}") from error
    return value if isinstance(value, dict) else {}


class HomeLock:
    """One run per home.

    The file descriptor is shared with the orphan reaper, which keeps the home locked while it cleans up after a run
    that was killed.
    """

    def __init__(self, home: Home) -> None:
        self._path = home.run / "lock"
        self._home = home
        self._fd = -1

    def acquire(self) -> int:
        """Take the lock and return its file descriptor.

        Raises:
            ServerError: a living process has it.
        """
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _CLEANUP_SECONDS
        while not self._try():
            owner = self.owner()
            if is_alive(owner) or time.monotonic() > deadline:
                self.release()
                raise ServerError(
                    f"{self._home.root} is in use by process {owner}; stop that one first (kill {owner}), "
                    "or choose another directory with ENRICH_HOME and other ports with --port-base"
                )
            time.sleep(0.05)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        return self._fd

    def owner(self) -> int:
        """The process recorded last; 0 if none was."""
        with suppress(OSError, ValueError):
            return int(self._path.read_text())
        return 0

    def is_held(self) -> bool:
        """Whether the lock is held: by a running system, or by the orphan reaper of one that was killed."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists, including those of other users."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
