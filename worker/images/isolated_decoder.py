"""Decodes in a separate process, which the system ends when a file takes too much.

Decoders are C code in a thread: nothing can interrupt them there. What a file's header does not prove to be cheap is
therefore given to `worker.images.decoder_process`. Processes are kept for the next such file, as many as are in use at
once.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, TypeAlias

from PIL import Image

from worker.errors import DecoderLostError, ImageRejectedError
from worker.images.limits import ImageLimits
from worker.images.values import DecodedImage
from worker.types import ImageMetadata, Reason

#: Called with the bytes that decoding a picture takes at most; they are in use while the block runs.
Reserve: TypeAlias = Callable[[int], AbstractContextManager[object]]

_COMMAND: Final = (sys.executable, "-P", "-m", "worker.images.decoder_process")
#: All that it gets of our environment: what a decoder may be made to do, it does without our credentials.
_INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
#: One thread each: the threads are the caller's.
_SINGLE: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
#: A process that had more than this is not kept: allocators do not give everything back.
_KEPT_BYTES: Final = 256 << 20
_KEPT_FILES: Final = 1_000

#: Nobody sends these: a process does it to itself.
_CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}
)


def decode_apart(
    data: bytes, *, limits: ImageLimits, min_side: int | None, also: int | None = None, reserve: Reserve
) -> DecodedImage:
    """``reader.decode``, in a process that may die of it.

    Raises:
        ImageRejectedError: as there; and ``TOO_MUCH_WORK`` or ``KILLED_WORKER``.
        DecoderLostError: the process ended for a reason that need not be the file.
    """
    child = _pool.take()
    try:
        decoded = child.decode(data, limits=limits, min_side=min_side, also=also, reserve=reserve)
    except ImageRejectedError:
        _pool.give_back(child)
        raise
    except BaseException:
        child.end()
        raise
    _pool.give_back(child)
    return decoded


class DecoderProcess:
    """One process, for one thread at a time."""

    def __init__(self) -> None:
        try:
            # A session of its own: what a terminal sends to our group is for us.
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _SINGLE,
            )
        except OSError as error:
            raise DecoderLostError(f"no process could be started to decode a picture: {error}") from error
        self._files = self._largest = 0

    @property
    def reusable(self) -> bool:
        """Whether it may get another file."""
        return self._files < _KEPT_FILES and self._largest <= _KEPT_BYTES and self._process.poll() is None

    def decode(
        self, data: bytes, *, limits: ImageLimits, min_side: int | None, also: int | None = None, reserve: Reserve
    ) -> DecodedImage:
        """See ``decode_apart``."""
        self._files += 1
        with ExitStack() as reserved:
            with suppress(BrokenPipeError):  # it has died: reading says so, too
                self._send(_line(length=len(data), limits=asdict(limits), min_side=min_side, also=also), data)
            while "reserve" in (answer := self._answer(limits, len(data))):
                self._largest = max(self._largest, answer["reserve"])
                reserved.enter_context(reserve(answer["reserve"]))
                with suppress(BrokenPipeError):
                    self._send(b"\n")
            if "reason" in answer:
                raise ImageRejectedError(Reason(answer["reason"]), answer["message"])
            return self._decoded(answer, limits, len(data))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]  # both are pipes

    def _send(self, *parts: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        for part in parts:
            self._process.stdin.write(part)
        self._process.stdin.flush()

    def _answer(self, limits: ImageLimits, length: int) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _loss(self._process.wait(), limits.seconds(length))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _decoded(self, answer: dict[str, Any], limits: ImageLimits, length: int) -> DecodedImage:
        pixels = self._picture(answer["size"], limits, length)
        also = pixels if answer["also"] == "same" else None
        if also is None and answer["also"] is not None:
            also = self._picture(answer["also"], limits, length)
        taken_at = answer["metadata"].pop("taken_at")
        return DecodedImage(
            pixels=pixels,
            also=also,
            profile=base64.b64decode(answer["profile"]) if answer["profile"] else None,
            metadata=ImageMetadata(
                **answer["metadata"], taken_at=datetime.fromisoformat(taken_at) if taken_at else None
            ),
        )

    def _picture(self, size: tuple[int, int], limits: ImageLimits, length: int) -> Image.Image:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        width, height = size
        samples = self._process.stdout.read(3 * width * height)
        if len(samples) < 3 * width * height:
            raise _loss(self._process.wait(), limits.seconds(length))
        return Image.frombytes("RGB", (width, height), samples)


class _Pool:
    """Idle processes; the one used last is taken first."""

    def __init__(self) -> None:
        self._idle: list[DecoderProcess] = []
        self._lock = threading.Lock()

    def take(self) -> DecoderProcess:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None or child.reusable:
            return child or DecoderProcess()
        child.end()
        return DecoderProcess()

    def give_back(self, child: DecoderProcess) -> None:
        if child.reusable:
            with self._lock:
                self._idle.append(child)
        else:
            child.end()

    def close(self) -> None:
        """End those that are idle. Those in use end by themselves, when their standard input does."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()


_pool: Final = _Pool()
atexit.register(_pool.close)


def close() -> None:
    """End the processes that are idle; the next file starts one."""
    _pool.close()


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _loss(status: int, seconds: float) -> Exception:
    if status == -signal.SIGPROF:
        message = (
            f"decoding takes more than {seconds:.3g} s of processor time; save the picture again in a plainer format, "
            "or raise ENRICH_MAX_DECODE_SECONDS and retry"
        )
        return ImageRejectedError(Reason.TOO_MUCH_WORK, message)
    how = _name(-status) if status < 0 else f"exit status {status}"
    if -status in _CRASHES:
        message = f"the decoder process ended with {how} on this file; open the picture and save it again"
        return ImageRejectedError(Reason.KILLED_WORKER, message)
    return DecoderLostError(f"the decoder process ended with {how}, perhaps because of low memory; this is retried")


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
