"""Starts child processes, keeps them running, and makes sure that they end with it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType

from worker import logs
from worker.errors import ServerError
from worker.local import orphan_reaper
from worker.local.child import Child, ChildSpec, NotReadyError, rotate
from worker.local.disk import DiskWatch
from worker.restart_policy import RestartPolicy, is_under_nohup
from worker.stop_signal import StopFlag

_log = logs.get("local")
_POLL_SECONDS = 0.02
_HOUSEKEEPING_SECONDS = 10.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Announce = Callable[[str], None]


@dataclass(slots=True)
class _Supervised:
    child: Child
    deaths: int = 0  # quick ones, in a row
    restart_at: float | None = None  # monotonic; set while it is down, to infinity if for good


class OrphanReaper:
    """The supervisor's side of the process that outlives it; see ``worker.local.orphan_reaper``."""

    def __init__(self, log_dir: Path, keep_open: Sequence[int] = ()) -> None:
        self._log = log_dir / "guardian.log"
        self._keep_open = keep_open
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pipe(self) -> int:
        """What children register on; the guardian is started on first use."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None  # noqa: S101 (we asked Popen for a pipe)
        return self._process.stdin.fileno()

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-I", "-S", str(Path(orphan_reaper.__file__))]
        rotate(self._log)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                pass_fds=self._keep_open,
                cwd="/",
            )

    def write(self, line: str) -> None:
        """Tell the guardian something; one that is gone is noticed by ``is_dead``."""
        with suppress(OSError):
            os.write(self.pipe, line.encode())

    def is_dead(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def replace(self, alive: Sequence[Child]) -> None:
        """Start another one and tell it about the children that run."""
        self.close()
        for child in alive:
            self.write(f"+{child.pid} {int(child.spec.stop_signal)} {child.spec.name}\n")

    def close(self) -> None:
        """End it. Groups it still knows are ended too."""
        if self._process is not None:
            with suppress(OSError):
                self._process.communicate()
            self._process = None


class Supervisor:
    """Children of one run, in the order in which they were started.

    ``start`` may be called from several threads; ``run`` and ``stop`` belong to the main one.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        announce: Announce | None = None,
        policy: RestartPolicy | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self._log_dir = log_dir
        self._announce = announce or (lambda message: _log.info(message, action="supervise"))
        self._policy = policy or RestartPolicy()
        self._watched: dict[str, _Supervised] = {}
        self._guardian = OrphanReaper(log_dir, keep_open)
        self._lock = threading.Lock()
        self._stopping = StopFlag()
        self._hurry = StopFlag()
        self._signalled = False
        self._housekeeping = 0.0
        self._disk = DiskWatch(log_dir, self._announce)

    # -- starting ----------------------------------------------------------------------------------------------------
    def start(self, *specs: ChildSpec) -> None:
        """Start children one after another, each once the one before is ready.

        Raises:
            ServerError: one ended, or was not ready in time; the message ends with the tail of its log.
        """
        for spec in specs:
            self.launch(spec)
            self.wait_ready(spec.name)

    def launch(self, spec: ChildSpec) -> Child:
        """Start a child without waiting for it to be ready."""
        child = Child(spec, self._log_dir)
        with self._lock:
            if self._stopping.is_set():
                raise ServerError(f"{spec.name} was not started: interrupted")
            self._watched[spec.name] = _Supervised(child)
            child.launch(self._guardian.pipe)
        return child

    def wait_ready(self, name: str) -> None:
        """Wait until a child's probe succeeds. Raises like ``start``."""
        child = self._watched[name].child
        spec = child.spec
        deadline = child.started + spec.ready_seconds
        while (missing := _missing(spec)) is not None:
            if self._stopping.is_set():
                raise ServerError(f"{name} was interrupted while starting")
            if child.exit_status() is not None:
                raise ServerError(
                    f"{name} ended while starting ({child.describe_exit()}); {child.log} ends with:{child.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{name} was not ready after {spec.ready_seconds:g} s ({missing}); "
                    f"{child.log} ends with:{child.log_tail()}"
                )
            self._stopping.wait(_POLL_SECONDS)

    # -- watching ----------------------------------------------------------------------------------------------------
    def run(self, *, until: Callable[[], bool] = lambda: False, stopping: Callable[[], None] = lambda: None) -> None:
        """Keep the children running until SIGINT, SIGTERM or SIGHUP, or until ``until`` says so; then stop them.

        ``stopping`` is called in between, to say what the stop waits for.

        No child's end ends the others: uploads are taken in while something else is broken.
        """
        with self.signals():
            try:
                while not self._stopping.is_set() and not until():
                    self.check()
                    self._stopping.wait(0.1)
                stopping()
            finally:
                self.stop()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While inside, the first signal asks for a stop and the second hurries it.

        Only the main thread can handle signals; in another this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = [number for number in _STOP_SIGNALS if not is_under_nohup(number)]
        before = {number: signal.signal(number, self._on_signal) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def interrupt(self) -> None:
        """Ask for the end from any thread: whatever waits in ``start`` or ``run`` returns."""
        self._stopping.set()

    @property
    def signalled(self) -> bool:
        """Whether a signal asked for the end."""
        return self._signalled

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._signalled:
            self._hurry.set()
        self._signalled = True
        self._stopping.set()

    def check(self) -> None:
        """Look at every child once: restart what is due."""
        for watched in list(self._watched.values()):
            if watched.restart_at is None and watched.child.exit_status() is not None:
                self._bury(watched)
            elif watched.restart_at is not None and time.monotonic() >= watched.restart_at:
                self._restart(watched)
        self._keep_house()

    def _bury(self, watched: _Supervised) -> None:
        child = watched.child
        status, lived = child.exit_status(), time.monotonic() - child.started
        self._remove(child)
        if status in child.spec.final:
            watched.restart_at = math.inf
            self._announce(
                f"{child.spec.name} ended ({child.describe_exit()}) and is not started again; everything else goes on. "
                f"{child.log} ends with:{child.log_tail()}"
            )
            return
        watched.deaths = watched.deaths + 1 if lived < self._policy.quick else 1
        self._announce_death(watched, f"died ({child.describe_exit()})")

    def _announce_death(self, watched: _Supervised, what: str) -> None:
        """Announce what happened to a child, and when it is restarted."""
        child, policy, deaths = watched.child, self._policy, watched.deaths
        delay = policy.delay(deaths) if deaths < policy.give_up_after else policy.last_delay
        watched.restart_at = time.monotonic() + delay
        if deaths == policy.give_up_after:
            self._announce(
                f"{child.spec.name} {what}, {deaths} times in a row; it is tried every {delay:g} s from now on, and "
                f"everything else goes on. {child.log} ends with:{child.log_tail()}"
            )
        else:
            self._announce(f"{child.spec.name} {what}; restarting it in {delay:g} s, its log is {child.log}")

    def _restart(self, watched: _Supervised) -> None:
        watched.restart_at = None
        try:
            with self._lock:
                watched.child.launch(self._guardian.pipe)
        except (ServerError, OSError) as error:  # no memory, no processes, no disk, for now
            watched.deaths += 1
            self._announce_death(watched, f"could not be started ({error})")
            return
        self._announce(f"{watched.child.spec.name} was restarted (pid {watched.child.pid})")

    def _keep_house(self) -> None:
        if self._guardian.is_dead():
            with self._lock:
                self._guardian.replace([w.child for w in self._watched.values() if w.child.exit_status() is None])
        if time.monotonic() - self._housekeeping > _HOUSEKEEPING_SECONDS:
            self._housekeeping = time.monotonic()
            self._disk.look()
            for watched in self._watched.values():
                rotate(watched.child.log)

    # -- stopping ----------------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """Stop every child, stage by stage, the highest first; each gets its own time, then SIGKILL. Safe to repeat."""
        self._stopping.set()
        with self.signals(), self._lock:
            by_stage = groupby(
                sorted((watched.child for watched in self._watched.values()), key=_stage, reverse=True), key=_stage
            )
            for _, children in by_stage:
                self._stop_together(list(children))
            self._watched.clear()
            self._guardian.close()

    def _stop_together(self, children: list[Child]) -> None:
        asked = time.monotonic()
        for child in children:
            child.signal(child.spec.stop_signal)
        for child in children:
            while child.exit_status() is None and not self._hurry.is_set():
                if time.monotonic() - asked > child.spec.stop_seconds:
                    _log.debug(f"killing {child.spec.name}, which did not stop", action="kill", child=child.spec.name)
                    break
                time.sleep(_POLL_SECONDS)
            self._remove(child)

    def _remove(self, child: Child) -> None:
        child.kill_group()
        self._guardian.write(f"-{child.pid}\n")


def _stage(child: Child) -> int:
    return child.spec.stage


def _missing(spec: ChildSpec) -> str | None:
    """What a child's readiness still lacks; None if it is ready."""
    if spec.probe is None:
        return None
    try:
        spec.probe()
    except (NotReadyError, OSError) as error:
        return str(error) or type(error).__name__
    return None
