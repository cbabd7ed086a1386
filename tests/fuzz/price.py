"""What one file costs a worker: ``python -m tests.fuzz.price < FILE`` decodes it as a worker does, and prints JSON.

A process for each file, because the most memory that a process ever had can be asked only when it has ended.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.fuzz.child import _FORGET_PEAK, _memory
from tests.unit.images.corpus import LIMITS
from worker.errors import ImageRejectedError
from worker.images import isolated_decoder, read_image

SIDE = 224
TINY = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
#: Of address space, for a process and each it starts, should everything else fail.
_LAST_RESORT = 6 << 30
#: Bytes of a decoder's process that has nothing to do.
_IDLE = 60 << 20


def main() -> None:
    """One file, from standard input."""
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (_LAST_RESORT, _LAST_RESORT))
    read_image(TINY, limits=LIMITS, min_side=SIDE)
    isolated_decoder.decode_apart(TINY, limits=LIMITS, min_side=SIDE, reserve=_reserve([]))
    [child] = isolated_decoder._pool._idle
    started = _seconds_of(child._process.pid)
    reserved: list[int] = []
    _FORGET_PEAK.write_text("5")  # proc(5): resets the peak resident set size
    before, clock = _memory("VmRSS"), time.process_time()
    outcome = _outcome(data, reserved)
    seconds = time.process_time() - clock
    own = _memory("VmHWM") - before
    isolated_decoder.close()
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = {
        "outcome": outcome,
        "seconds": seconds + others.ru_utime + others.ru_stime - started,
        "memory": max(0, own + others.ru_maxrss * 1024 - _IDLE),
        "reserved": sum(reserved),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


def _outcome(data: bytes, reserved: list[int]) -> str:
    try:
        read_image(data, limits=LIMITS, min_side=SIDE, reserve=_reserve(reserved))
    except ImageRejectedError as rejected:
        return str(rejected.reason)
    return "pixels"


def _reserve(sizes: list[int]) -> Callable[[int], AbstractContextManager[None]]:
    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        sizes.append(size)
        yield

    return reserve


def _seconds_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
