"""One supervised process: how to start it, tell that it is ready, and stop it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from worker.errors import ServerError

#: A log larger than this is moved aside to ``NAME.log.1``.
MAX_LOG_BYTES = 16 << 20
_REAP_TIMEOUT = 1.0  # seconds in which a killed process is gone, unless nobody reaps it

# A child registers itself with the orphan reaper before it becomes the server, so that there is no moment in which the
# supervisor can die unnoticed by a process that already runs. Standard input is the orphan reaper's pipe until then.
_REGISTER = 'printf "+%d %d %s %s\\n" $$ "$1" "$2" "$3" >&0 && shift 3 && exec "$@" </dev/null'


class NotReadyError(Exception):
    """Raised by readiness probes; the message says what is still missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildSpec:
    """What the supervisor needs to know about a child."""

    name: str  # names the log file and the child in messages
    argv: Sequence[str]
    env: Mapping[str, str] | None = None  # the whole environment; None inherits the supervisor's
    cwd: Path | None = None
    user: str | None = None  # only as root: whom to run as
    pass_fds: Sequence[int] = ()  # open file descriptors the child inherits, by the same number
    probe: Callable[[], None] | None = None  # raises while not ready; None: ready once started
    ready_seconds: float = 60.0  # how long it may take to become ready
    stage: int = 10  # children of the highest stage are stopped first, together; the embedded servers are below 10
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0  # then SIGKILL
    orphan_seconds: float = 3.0  # instead of ``stop_seconds``, where the supervisor was killed
    final: frozenset[int] = frozenset()  # exit statuses after which starting it again does not help
    final_at_first: frozenset[int] = frozenset()  # the same, but only for the first start
    ends_all: bool = False  # whether such an end, or five quick ones in a row, end all other children, too
    after_exit: Callable[[], None] = field(default=lambda: None)  # removes what a killed child leaves behind
    purpose: str = ""  # for people: "object store (S3)"


class Child:
    """A running process, leader of its own session and process group."""

    def __init__(self, spec: ChildSpec, logs: Path | None) -> None:
        """Nothing runs yet. Without a folder for ``logs``, it writes where we write."""
        self.spec = spec
        self.log = logs / f"{spec.name}.log" if logs else None
        self.starts = 0
        self.started = 0.0  # monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def launch(self, registry: int) -> None:
        """Start the process; ``registry`` is the orphan reaper's pipe.

        Raises:
            ServerError: the program cannot be started at all.
        """
        self.started = time.monotonic()
        self.starts += 1
        spec = self.spec
        argv = ["/bin/sh", "-c", _REGISTER, "sh", *registration(spec), *spec.argv]
        with self._opened_log() as log:
            try:
                self._process = subprocess.Popen(
                    argv, stdin=registry, stdout=log, stderr=log, cwd=spec.cwd, env=spec.env,
                    user=spec.user, group=_group_of(spec.user), extra_groups=[] if spec.user else None,
                    pass_fds=spec.pass_fds, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise ServerError(f"cannot start {spec.name}: {error}") from error

    @contextmanager
    def _opened_log(self) -> Iterator[BinaryIO | None]:
        if self.log is None:
            yield None
            return
        rotate(self.log)
        with self.log.open("ab", buffering=0) as log:
            with suppress(OSError):  # the disk is full
                log.write(time.strftime("--- started %Y-%m-%dT%H:%M:%SZ ---\n", time.gmtime()).encode())
            self._log_start = log.tell()
            yield log

    def exit_status(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def describe_exit(self) -> str:
        """The exit status in words."""
        status = self.exit_status()
        if status is None or status >= 0:
            return f"exit status {status}"
        with suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
        return f"killed by signal {-status}"

    def signal(self, number: int) -> None:
        """Send a signal to the leader alone: it knows how to stop what it started."""
        if self._process and self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, number)

    def kill_group(self) -> None:
        """Kill what is left of the group, including the leader, and reap it."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        _wait_until_gone(self._process.pid)
        self.spec.after_exit()

    def log_tail(self, lines: int = 15) -> str:
        """Where its log is, and the end of what this start of the child wrote, as the end of a message."""
        if self.log is None:
            return ""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            start = self._log_start if self._log_start <= size else 0  # it was rotated since
            log.seek(max(start, size - 64_000))
            text = log.read().decode(errors="replace")
        tail = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
        return f". {self.log} ends with:" + ("".join(f"\n  | {line}" for line in tail) or "\n  | (nothing)")


def registration(spec: ChildSpec) -> tuple[str, str, str]:
    """What the orphan reaper is told about a child, beside its process id."""
    return str(int(spec.stop_signal)), f"{spec.orphan_seconds:g}", spec.name


def _wait_until_gone(group: int) -> None:
    """Wait for killed processes that others reap: they end a moment later, and hold their ports until then."""
    deadline = time.monotonic() + _REAP_TIMEOUT
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:  # a zombie that nobody reaps stays in the group for ever
            os.killpg(group, 0)
            time.sleep(0.01)


def _group_of(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def rotate(log: Path, *, limit: int = MAX_LOG_BYTES) -> None:
    """Move a large log aside without its writer's help: children append, so they continue at the new end.

    On a full disk it is only cut: nothing that keeps servers running may stop because of a log.
    """
    with suppress(OSError):
        if log.stat().st_size <= limit:
            return
        old = log.with_name(log.name + ".1")
        try:
            shutil.copyfile(log, old)
        except OSError:
            old.unlink(missing_ok=True)
        os.truncate(log, 0)
