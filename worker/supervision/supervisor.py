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
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType

from worker import logs
from worker.errors import ServerError
from worker.stop_signal import StopFlag
from worker.supervision import orphan_reaper
from worker.supervision.child import Child, ChildSpec, NotReadyError, registration, rotate
from worker.supervision.restart_policy import RestartPolicy, is_under_nohup

_log = logs.get("local")
_POLL_SECONDS = 0.02
_HOUSEKEEPING_SECONDS = 10.0
_EXIT_NOT_STARTED = 71  # EX_OSERR
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Announce = Callable[[str], None]


@dataclass(slots=True)
class _Supervised:
    child: Child
    deaths: int = 0  # quick ones, in a row
    restart_at: float | None = None  # monotonic; set while it is down, to infinity if for good


class OrphanReaper:
    """The supervisor's side of the process that outlives it; see ``worker.supervision.orphan_reaper``."""

    def __init__(self, log_dir: Path | None, keep_open: Sequence[int] = ()) -> None:
        self._log = log_dir / "guardian.log" if log_dir else None
        self._keep_open = keep_open
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pipe(self) -> int:
        """What children register on; the process is started on first use."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None  # noqa: S101 (we asked Popen for a pipe)
        return self._process.stdin.fileno()

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-I", "-S", str(Path(orphan_reaper.__file__))]
        if self._log is not None:
            rotate(self._log)
        with nullcontext() if self._log is None else self._log.open("ab") as log:
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
        """Tell the orphan reaper something. If it is gone, ``is_dead`` says so."""
        with suppress(OSError):
            os.write(self.pipe, line.encode())

    def is_dead(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def replace(self, alive: Sequence[Child]) -> None:
        """Start another one and tell it about the children that run."""
        self.close()
        for child in alive:
            self.write(f"+{child.pid} {' '.join(registration(child.spec))}\n")

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
        log_dir: Path | None,
        *,
        announce: Announce | None = None,
        policy: RestartPolicy | None = None,
        keep_open: Sequence[int] = (),
        housekeeping: Callable[[Announce], None] = lambda _: None,
        patient: bool = False,
    ) -> None:
        """Nothing runs yet.

        Args:
            log_dir: has a log for each child; None: children write where we write.
            announce: is told what happens to children, in sentences.
            policy: when a child that died is restarted.
            keep_open: file descriptors that the orphan reaper holds until it has cleaned up.
            housekeeping: called every ten seconds, with ``announce``.
            patient: whether a second signal changes nothing, instead of killing what still runs.
        """
        self._log_dir = log_dir
        self._announce = announce or (lambda message: _log.info(message, action="supervise"))
        self._policy = policy or RestartPolicy()
        self._watched: dict[str, _Supervised] = {}
        self._reaper = OrphanReaper(log_dir, keep_open)
        self._lock = threading.Lock()
        self._stopping = StopFlag()
        self._hurry = StopFlag()
        self._signalled, self._patient = False, patient
        self._housekeeping, self._housekept = housekeeping, 0.0
        self._status = 0

    # -- starting ----------------------------------------------------------------------------------------------------
    def start(self, *specs: ChildSpec) -> None:
        """Start children one after another, each once the one before is ready.

        Raises:
            ServerError: one ended, or was not ready in time; the message ends with the tail of its log.
        """
        for spec in specs:
            self.launch(spec)
            self.wait_ready(spec.name)

    def add(self, *specs: ChildSpec) -> None:
        """Have ``run`` start children, and try again where the system has no memory or no process for one now."""
        for spec in specs:
            self._watched[spec.name] = _Supervised(Child(spec, self._log_dir), restart_at=0.0)

    def launch(self, spec: ChildSpec) -> Child:
        """Start a child without waiting for it to be ready."""
        child = Child(spec, self._log_dir)
        with self._lock:
            if self._stopping.is_set():
                raise ServerError(f"{spec.name} was not started: interrupted")
            self._watched[spec.name] = _Supervised(child)
            child.launch(self._reaper.pipe)
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
                raise ServerError(f"{name} ended while starting ({child.describe_exit()}){child.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{name} was not ready after {spec.ready_seconds:g} s ({missing}){child.log_tail()}")
            self._stopping.wait(_POLL_SECONDS)

    # -- watching ----------------------------------------------------------------------------------------------------
    def run(self, *, until: Callable[[], bool] = lambda: False, stopping: Callable[[], None] = lambda: None) -> int:
        """Keep the children running until SIGINT, SIGTERM or SIGHUP, or until ``until`` says so; then stop them.

        ``stopping`` is called in between, to say what the stop waits for.

        No child's end ends the others, unless its spec says so: uploads are taken in while something else is broken.

        Returns:
            The exit status of the child whose end ended the others, as a shell gives it; else 0.
        """
        with self.signals():
            try:
                while not self._stopping.is_set() and not until():
                    self.check()
                    self._stopping.wait(0.1)
                stopping()
            finally:
                self.stop()
        return self._status

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
        if self._signalled and not self._patient:
            self._hurry.set()
        self._signalled = True
        self._stopping.set()

    def check(self) -> None:
        """Look at every child once: restart what is due."""
        for watched in list(self._watched.values()):
            if watched.restart_at is None and watched.child.exit_status() is not None:
                self._handle_exit(watched)
            elif watched.restart_at is not None and time.monotonic() >= watched.restart_at:
                self._restart(watched)
        self._check_surroundings()

    def _handle_exit(self, watched: _Supervised) -> None:
        child = watched.child
        status, lived = child.exit_status(), time.monotonic() - child.started
        self._remove(child)
        if status in child.spec.final or (child.starts == 1 and status in child.spec.final_at_first):
            self._give_up(watched, f"ended ({child.describe_exit()}) and is not restarted")
            return
        watched.deaths = watched.deaths + 1 if lived < self._policy.quick else 1
        self._died(watched, f"died ({child.describe_exit()})")

    def _give_up(self, watched: _Supervised, what: str) -> None:
        child, watched.restart_at = watched.child, math.inf
        others = "everything ends" if child.spec.ends_all else "everything else keeps running"
        self._announce(f"{child.spec.name} {what}; {others}{child.log_tail()}")
        if child.spec.ends_all:
            status = child.exit_status()
            self._status = _EXIT_NOT_STARTED if status is None else status if status >= 0 else 128 - status
            self._stopping.set()

    def _died(self, watched: _Supervised, what: str) -> None:
        """Announce what happened to a child, and when it is restarted, if it is."""
        child, policy, deaths = watched.child, self._policy, watched.deaths
        if child.spec.ends_all and deaths >= policy.give_up_after:
            self._give_up(watched, f"{what}, {deaths} times in a row")
            return
        delay = policy.delay(deaths) if deaths < policy.give_up_after else policy.last_delay
        watched.restart_at = time.monotonic() + delay
        if deaths == policy.give_up_after:
            self._announce(
                f"{child.spec.name} {what}, {deaths} times in a row; it is restarted every {delay:g} s from now on; "
                f"everything else keeps running{child.log_tail()}"
            )
        else:
            log = f", its log is {child.log}" if child.log else ""
            self._announce(f"{child.spec.name} {what}; restarting it in {delay:g} s{log}")

    def _restart(self, watched: _Supervised) -> None:
        watched.restart_at = None
        try:
            with self._lock:
                watched.child.launch(self._reaper.pipe)
        except (ServerError, OSError) as error:  # no memory, no processes, no disk, for now
            watched.deaths += 1
            self._died(watched, f"could not be started ({error})")
            return
        if watched.child.starts > 1:  # the first start is nothing to warn of
            self._announce(f"{watched.child.spec.name} was restarted (pid {watched.child.pid})")

    def _check_surroundings(self) -> None:
        if self._reaper.is_dead():
            with self._lock:
                self._reaper.replace([w.child for w in self._watched.values() if w.child.is_running])
        if time.monotonic() - self._housekept > _HOUSEKEEPING_SECONDS:
            self._housekept = time.monotonic()
            self._housekeeping(self._announce)
            for watched in self._watched.values():
                if watched.child.log is not None:
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
            self._reaper.close()

    def _stop_together(self, children: list[Child]) -> None:
        asked = time.monotonic()
        for child in children:
            child.signal(child.spec.stop_signal)
        for child in children:
            while child.is_running and not self._hurry.is_set():
                if time.monotonic() - asked > child.spec.stop_seconds:
                    tell = _log.warning if child.spec.ends_all else _log.debug
                    tell(f"killing {child.spec.name}, which did not stop", action="kill", child=child.spec.name)
                    break
                time.sleep(_POLL_SECONDS)
            self._remove(child)

    def _remove(self, child: Child) -> None:
        child.kill_group()
        self._reaper.write(f"-{child.pid}\n")


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
