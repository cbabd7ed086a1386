"""How long a process holds Python's interpreter lock, which is what its threads can share least.

The lock is a word in the process's memory. Another process reads it a thousand times a second, so that measuring takes
nothing from the threads that are measured: ``py-spy --gil`` does the same, with stacks. Of each
thousandth of a second only what the process spent of processor time counts, so that other work on the machine does not.
Wherever the lock cannot be found or the memory may not be read (another interpreter, a container without the right),
there is no figure.

    python -m bench.gil PID ADDRESS          (started by ``sampling``; prints seconds when its stdin is closed)
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PERIOD = 0.001  # seconds
_MARK = 0.004321  # seconds: a switch interval that nobody else sets, so that the lock is known by it
#: CPython keeps, one after the other: the interval in µs, the thread that held the lock last, whether it is held. (3.11
#: in _PyRuntime; later in the first interpreter, which lies within _PyRuntime as well.)
_SEARCHED = 1 << 20  # bytes


@dataclass(kw_only=True, slots=True)
class Held:
    """Filled when the block of ``sampling`` has ended."""

    seconds: float | None = None  # of processor time, at most; None: could not be measured


@contextmanager
def sampling() -> Iterator[Held]:
    """Measure for how long any thread of this process held the lock while the block ran."""
    held, address = Held(), _address()
    if address is None:
        yield held
        return
    command = [sys.executable, "-m", "bench.gil", str(os.getpid()), str(address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sampler:
        assert sampler.stdin is not None
        assert sampler.stdout is not None
        sampler.stdout.readline()  # it begins
        yield held
        sampler.stdin.close()
        answer = sampler.stdout.readline().strip()
        held.seconds = float(answer) if answer else None


def _address() -> int | None:
    """Of the word that says whether the lock is held."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_MARK)
    try:
        return _found(round(_MARK * 1e6))
    except (OSError, ValueError, AttributeError):
        return None
    finally:
        sys.setswitchinterval(before)


def _found(interval: int) -> int | None:
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    start = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    memory = _readable(start)
    at = memory.find(struct.pack("LP", interval, state()))
    return None if at < 0 else start + at + struct.calcsize("LP")


def _readable(start: int) -> bytes:
    """The memory from there on, as far as it goes: through the file system, where a wrong address is no crash."""
    with Path("/proc/self/mem").open("rb", buffering=0) as own:
        parts: list[bytes] = []
        for offset in range(0, _SEARCHED, 4096):
            try:
                parts.append(os.pread(own.fileno(), 4096, start + offset))
            except OSError:
                break
    return b"".join(parts)


def main() -> None:
    pid, address = sys.argv[1], int(sys.argv[2])
    clock = (~int(pid) << 3) | 2  # the processor time of another process: Linux's CPUCLOCK_SCHED
    held = 0.0
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            print(flush=True)
            spent, now = time.clock_gettime(clock), time.monotonic()
            while not select.select([sys.stdin], [], [], _PERIOD)[0]:
                before, spent, then, now = spent, time.clock_gettime(clock), now, time.monotonic()
                if os.pread(memory.fileno(), 4, address) != b"\0\0\0\0":
                    held += min(spent - before, now - then)  # other threads may have spent the rest
    except OSError:
        print("\n", flush=True)
    else:
        print(held, flush=True)


if __name__ == "__main__":
    main()
