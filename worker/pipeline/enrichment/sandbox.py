"""An image that may have killed its worker is tried in a process of its own, whose end the worker lives to see.

That a worker died with an image in hand proves nothing: machines are taken away, deploys end in SIGKILL, a neighbour
takes the memory. A process that has just encoded a plain picture, is given this one, and is gone, while the process
that started it lives on, is another matter.
"""

from __future__ import annotations

import enum
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from worker import logs, metrics
from worker.errors import PutOffError

_log = logs.get("pipeline")

#: What the process says once it has encoded a plain picture: whatever happens from now on is the image's doing.
READY = b"ready\n"

#: Nobody sends these: a process does it to itself.
_OWN_DOING = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}
)
#: Somebody wants this service to end.
_ORDERS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
#: How often in a row a process must be gone for reasons that are not clear (SIGKILL: the kernel, for want of memory, or
#: a person) until it was the image.
_UNCLEAR = 2


class SandboxResult(enum.StrEnum):
    """What one try came to."""

    SURVIVED = "survived"  # the image did no harm, or nothing worse than an error
    KILLED = "killed"  # the process did it to itself
    UNCLEAR = "unclear"  # it is gone, stuck, or its device broken
    INTERRUPTED = "interrupted"  # we are to end
    UNAVAILABLE = "unavailable"  # it never became ready: nothing is known about the image


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """Starts the processes, one at a time: each has a copy of the model, and several might end for want of memory."""

    command: Sequence[str]  # loads the model, says READY, reads an image from stdin, decodes and encodes it
    patience: float  # seconds, to become ready; and again, for the image
    progressed: Callable[[], None] = lambda: None  # called whenever a process is ready, or has ended
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def try_image(self, data: bytes, *, expose: Callable[[], None]) -> str | None:
        """Try an image.

        Args:
            data: the file.
            expose: called right before the process is given the image.

        Returns:
            How it killed its process; None: it did not, or no process could be had.

        Raises:
            PutOffError: the try was interrupted, or another image is being tried. What was once found guilty comes
                back among others; waiting for its turn would keep them waiting, too.
        """
        if not self._turn.acquire(blocking=False):
            raise PutOffError("another image is being tried in a process of its own, which is done one at a time")
        try:
            return self._convict(data, expose)
        finally:
            self._turn.release()

    def _convict(self, data: bytes, expose: Callable[[], None]) -> str | None:
        for _ in range(_UNCLEAR):
            ending, how = self._try(data, expose)
            self.progressed()
            metrics.TRIALS.labels(result=str(ending)).inc()
            _log.info(f"an image was tried in a process of its own: {how}", action="trial", result=str(ending))
            if ending is SandboxResult.KILLED:
                break
            if ending is SandboxResult.INTERRUPTED:
                raise PutOffError(f"its trial was interrupted: {how}")
            if ending is not SandboxResult.UNCLEAR:
                return None
        return how

    def _try(self, data: bytes, expose: Callable[[], None]) -> tuple[SandboxResult, str]:
        try:
            # A session of its own: what a terminal sends to our group is for us.
            started = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:  # no memory, no process number, no file handle
            return SandboxResult.UNAVAILABLE, f"none could be started: {error}"
        with started as process:
            try:
                if not self._is_ready(process):
                    return SandboxResult.UNAVAILABLE, f"none could be had within {self.patience:.0f} s"
                self.progressed()
                expose()
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(data, timeout=self.patience)
                return self._judged(process.poll())
            finally:
                process.kill()

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        deadline, said = time.monotonic() + self.patience, b""
        while not said.endswith(READY):
            if not _readable(process.stdout.fileno(), deadline - time.monotonic()):
                return False
            part = os.read(process.stdout.fileno(), len(READY))
            if not part:
                return False
            said += part
        return True

    def _judged(self, status: int | None) -> tuple[SandboxResult, str]:
        if status is None:
            return SandboxResult.UNCLEAR, f"was still at it after {self.patience:.0f} s"
        if status == 0:
            return SandboxResult.SURVIVED, "nothing happened"
        if status > 0:
            return SandboxResult.UNCLEAR, f"ended with exit status {status}"
        how = f"was killed by {_name(-status)}"
        if -status in _ORDERS:
            return SandboxResult.INTERRUPTED, how
        return (SandboxResult.KILLED if -status in _OWN_DOING else SandboxResult.UNCLEAR), how


def _readable(descriptor: int, seconds: float) -> bool:
    waiting = select.poll()  # not select.select: it fails for descriptors above 1,023
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(max(seconds, 0) * 1_000))


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
