"""The decoder process for costly files: ``python -m worker.images.decoder_process``, started by ``isolated_decoder``.

It serves one file after another until its standard input ends. The system ends it when a file takes more processor time
than it may, also in the middle of a decoder's C code, and refuses it memory beyond what was reserved.

Asked: a line of JSON, and the file. Answered: lines of JSON, and behind one with metadata the picture's samples. After
``{"reserve": n}`` it waits for a line.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

from worker.errors import ImageRejectedError
from worker.images.formats import readable_formats
from worker.images.limits import ImageLimits
from worker.images.reader import decode

#: Address space beyond what is reserved: opening a file happens before, and so do libraries' own tables.
HEADROOM: Final = 256 << 20
#: Seconds without an end after which something other than the file is wrong, such as a machine that is far too busy.
LONGEST: Final = 300


def main() -> None:
    """Serve until standard input ends."""
    faulthandler.enable()  # where a decoder crashed is in the worker's log
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # where memory runs out, the kernel should take this process; no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")
    readable_formats()  # imports every decoder
    answers = _take_stdout()
    while line := sys.stdin.buffer.readline():
        _serve(json.loads(line), answers)


def _serve(request: dict[str, Any], answers: BinaryIO) -> None:
    data = sys.stdin.buffer.read(request["length"])
    limits = ImageLimits(**request["limits"])

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        with _unhurried():
            _say(answers, reserve=size + 2 * len(data))
            sys.stdin.buffer.readline()
        _limit_memory(size + HEADROOM)
        yield

    _limit_memory(HEADROOM + 4 * len(data))
    try:
        _set_clocks(limits.seconds(len(data)))
        decoded = decode(data, limits=limits, min_side=request["min_side"], also=request["also"], reserve=reserve)
    except ImageRejectedError as rejected:
        _say(answers, reason=rejected.reason, message=str(rejected))
        return
    finally:
        _set_clocks(0)
        _limit_memory(None)
    also = None if decoded.also is None else "same" if decoded.also is decoded.pixels else decoded.also.size
    profile = base64.b64encode(decoded.profile).decode() if decoded.profile else None
    _say(answers, metadata=asdict(decoded.metadata), size=decoded.pixels.size, also=also, profile=profile)
    answers.write(decoded.pixels.tobytes())
    if decoded.also is not None and decoded.also is not decoded.pixels:
        answers.write(decoded.also.tobytes())
    answers.flush()


def _limit_memory(more: int | None) -> None:
    """What this process may have beyond what it has now; None: as much as its parent allows."""
    with suppress(OSError):  # no Linux: then only what the header says is refused
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = most if more is None else now + more
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _set_clocks(seconds: float) -> None:
    """Nobody handles these signals: they end the process. 0 stops both clocks."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, LONGEST if seconds else 0)


@contextmanager
def _unhurried() -> Iterator[None]:
    """Wait for memory, without blaming the file."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, LONGEST)


def _say(answers: BinaryIO, **fields: object) -> None:
    answers.write(json.dumps(fields, default=str).encode() + b"\n")
    answers.flush()


def _take_stdout() -> BinaryIO:
    """Reserve standard output for the protocol; what libraries print goes to the log."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


if __name__ == "__main__":
    main()
