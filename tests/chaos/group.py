"""The product's processes: started, killed, frozen, and restarted by what stands in for their supervisor."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
_RESTART_SECONDS = 0.3
_STOP_SECONDS = 20.0

WORKER = ("-m", "tests.chaos.worker")
SCHEDULER = ("-m", "worker", "scheduler")
API = ("-m", "worker", "api")


@dataclass
class _Member:
    name: str
    program: Sequence[str]
    process: subprocess.Popen[bytes]


class Crew:
    """Keeps processes running until ``stop``, as systemd or a container runtime would."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        """Start nothing yet; logs go to one file for each name."""
        self._environment, self._logs = dict(environment), logs
        self._members: dict[str, _Member] = {}
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="crew", daemon=True)
        self.killed: Counter[str] = Counter()  # by us, by name
        self.ended: Counter[str] = Counter()  # any way, by name and status

    def start(self, name: str, program: Sequence[str]) -> None:
        """Start a process, and again whenever it ends."""
        with self._mutex:
            self._members[name] = _Member(name, program, self._launch(name, program))
        if not self._thread.is_alive():
            self._thread.start()

    def pid(self, name: str) -> int:
        """Of the process that runs under this name now."""
        return self._members[name].process.pid

    def kill(self, name: str) -> None:
        """As the kernel's memory killer would."""
        with self._mutex:
            process = self._members[name].process
            if process.poll() is None:
                process.kill()
                self.killed[name] += 1

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop a process for a while, as a paused virtual machine is; it then goes on as if nothing had been."""
        process = self._members[name].process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def stop(self) -> dict[str, int | None]:
        """End everything with SIGTERM.

        Returns:
            The exit status of each; None for one that had to be killed.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for member in self._members.values():
            member.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        return {member.name: _end(member.process, deadline) for member in self._members.values()}

    def _launch(self, name: str, program: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *program],
                env=self._environment,
                cwd=_CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _watch(self) -> None:
        while not self._stopping.wait(_RESTART_SECONDS):
            with self._mutex:
                for member in self._members.values():
                    status = member.process.poll()
                    if status is not None:
                        self.ended[f"{member.name}: {status}"] += 1
                        member.process = self._launch(member.name, member.program)


def _end(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    try:
        return process.wait(max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
