"""A group of worker processes that one command starts, restarts and stops: for a device that outruns one interpreter.

Each member is a complete worker with its own model, leases, heartbeat and metrics. They share only the cores, so every
guarantee of one worker holds for each. docs/decisions says why not threads, or processes that only decode.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker import logs
from worker.errors import ConfigurationError
from worker.restart_policy import RestartPolicy, is_under_nohup
from worker.settings import Settings
from worker.stop_signal import StopFlag

_log = logs.get("crew")

#: Starts one member. (-P: a folder named `worker` in the working directory is not ours.)
MEMBER: tuple[str, ...] = (sys.executable, "-P", "-m", "worker", "worker")
#: Option of that command: the end of a pipe that closes when we exit, for whatever reason.
LIFELINE = "--lifeline"

_POLL_SECONDS = 0.1
#: On top of ENRICH_DRAIN_SECONDS, to give claims back and sign off; then SIGKILL. Less than `enrich up` waits for us:
#: members have process groups of their own, and one that hangs would outlive us.
_SIGN_OFF_SECONDS = 8.0
_EXIT_MISCONFIGURED = 1  # reported at start-up
_EXIT_TOO_OLD = 78  # EX_CONFIG: a restart does not help
_EXIT_NOT_STARTED = 71  # EX_OSERR
_LAST_PORT = 65_535
#: Loading a model takes a while, and a member may die during it.
_POLICY = RestartPolicy(first_delay=1.0, longest_delay=30.0, quick=60.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One member's share, which replaces the group's settings."""

    decode_threads: int
    torch_threads: int
    metrics_port: int  # 0: none

    def environment(self) -> dict[str, str]:
        return {
            "ENRICH_PROCESSES": "1",
            "ENRICH_DECODE_THREADS": str(self.decode_threads),
            "ENRICH_TORCH_THREADS": str(self.torch_threads),
            "ENRICH_METRICS_PORT": str(self.metrics_port),
        }


def shares(settings: Settings, *, cores: int) -> list[Share]:
    """Divide the cores, or the configured threads, among the members; each gets at least one.

    Raises:
        ConfigurationError: there are not enough ports for metrics.
    """
    last_port = settings.metrics_port and settings.metrics_port + settings.processes - 1
    if last_port > _LAST_PORT:
        raise ConfigurationError(
            f"the metrics of {settings.processes} worker processes need as many ports: set ENRICH_METRICS_PORT to "
            f"at most {_LAST_PORT - settings.processes + 1}, or to 0 for none"
        )
    decoders = _divided(settings.decode_threads or cores, settings.processes)
    torch = _divided(settings.torch_threads or cores, settings.processes)
    return [
        Share(
            decode_threads=decoders[number],
            torch_threads=torch[number],
            metrics_port=settings.metrics_port and settings.metrics_port + number,
        )
        for number in range(settings.processes)
    ]


def _divided(threads: int, among: int) -> list[int]:
    return [max(1, threads // among + (number < threads % among)) for number in range(among)]


def run(settings: Settings, *, cores: int) -> int:
    """Keep ``settings.processes`` workers running until SIGTERM, which drains all of them.

    A member that ends is restarted while the others keep running. All stop when one exits with a status that
    rules out a restart, or dies five times within a minute of its start.

    Returns:
        The exit status: 0 after SIGTERM, else that of the member that stopped the group.

    Raises:
        ConfigurationError: the settings do not allow so many members.
    """
    shared = shares(settings, cores=cores)
    asked = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if not is_under_nohup(number):
            signal.signal(number, lambda *_: asked.set())
    lifeline, ours = os.pipe()  # ours is closed by the kernel, whatever ends us
    members = [_Member(share.environment(), lifeline) for share in shared]
    try:
        _log.info(f"{len(members)} worker processes", action="crew", decoders=settings.decode_threads or cores)
        return _keep(members, asked)
    finally:
        _end(members, seconds=longest_end(settings))
        os.close(ours)
        os.close(lifeline)


def longest_end(settings: Settings) -> float:
    """Seconds after which members have ended or are killed. Killing the group earlier leaves hanging members behind."""
    return settings.drain_seconds + _SIGN_OFF_SECONDS


def follow(lifeline: int) -> None:
    """In a member: stop, as on SIGTERM, when the group's process is gone."""

    def wait() -> None:
        os.read(lifeline, 1)  # nobody ever writes
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


class _Member:
    """A worker process and its replacements."""

    def __init__(self, environment: Mapping[str, str], lifeline: int) -> None:
        self._environment, self._lifeline = environment, lifeline
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._start_at = time.monotonic()
        self._quick_deaths = self._lives = 0

    def look(self) -> int | None:
        """Start it if it is due.

        Returns:
            The exit status with which the group stops; None: continue.
        """
        if self._process is None:
            return self._start() if time.monotonic() >= self._start_at else None
        status = self._process.poll()
        return None if status is None else self._ended(self._process.pid, status)

    def _start(self) -> int | None:
        self._lives += 1
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                [*MEMBER, LIFELINE, str(self._lifeline)],
                env={**os.environ, **self._environment},
                pass_fds=(self._lifeline,),
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C reaches only us, and we pass it on once
            )
        except OSError as error:  # out of memory or processes for now: not a reason to stop the others
            _log.warning(f"a worker process cannot be started: {error}", action="crew")
            return self._ended(0, _EXIT_NOT_STARTED)
        return None

    def _ended(self, pid: int, status: int) -> int | None:
        self._process = None
        quick = time.monotonic() - self._started < _POLICY.quick
        self._quick_deaths = self._quick_deaths + 1 if quick else 1
        if status == _EXIT_TOO_OLD or (status == _EXIT_MISCONFIGURED and self._lives == 1):
            return status
        if self._quick_deaths >= _POLICY.give_up_after:
            _log.error(
                f"a worker process ended {self._quick_deaths} times within {_POLICY.quick:g} s of its start, now with "
                f"{status}; stopping all",
                action="crew", pid=pid, status=status,
            )  # fmt: skip
            return status if status > 0 else 128 - status
        delay = _POLICY.delay(self._quick_deaths)
        self._start_at = time.monotonic() + delay
        _log.warning(
            f"a worker process ended with {status}; it is restarted in {delay:g} s, the others keep running",
            action="crew", pid=pid, status=status,
        )  # fmt: skip
        return None

    def terminate(self) -> None:
        """Let it drain."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; kill it if it takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            _log.error("a worker process does not exit; killing it", action="crew", pid=self._process.pid)
            self._process.kill()
            self._process.wait()


def _keep(members: Sequence[_Member], asked: StopFlag) -> int:
    while True:
        for each in members:
            status = each.look()
            if status is not None:
                return status
        if asked.wait(_POLL_SECONDS):
            return 0


def _end(members: Sequence[_Member], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for each in members:
        each.terminate()
    for each in members:
        each.wait(deadline - time.monotonic())
