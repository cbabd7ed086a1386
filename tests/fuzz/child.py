"""The process that may die: reads files from stdin, gives each to a target, and says what became of it.

Run as ``python -m tests.fuzz.child MODULE:FUNCTION``. A file is eight bytes of length and the bytes; an answer is one
line of JSON.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.limits import ADDRESS_SPACE

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")


def main() -> None:
    """Serve until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not look like an answer
    faulthandler.enable()  # which decoder it was
    module, _, name = sys.argv[1].partition(":")
    loaded = importlib.import_module(module)
    target: Callable[[bytes], str] = getattr(loaded, name)
    reserved: list[int] = getattr(loaded, "RESERVED", [])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _memory("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while header := sys.stdin.buffer.read(8):
        data = sys.stdin.buffer.read(int.from_bytes(header, "big"))
        answers.write(json.dumps(_examine(target, data, reserved)) + "\n")


def _examine(target: Callable[[bytes], str], data: bytes, reserved: list[int]) -> dict[str, Any]:
    _FORGET_PEAK.write_text("5")  # proc(5): resets the peak resident set size
    before, started = _memory("VmRSS"), time.process_time()
    outcome, trace = None, ""
    reserved.clear()
    try:
        outcome = target(data)
    except MemoryError:
        outcome, trace = "memory", traceback.format_exc()
    except BaseException:  # noqa: BLE001 - whatever it is, it is the finding
        trace = traceback.format_exc()
    seconds, peak = time.process_time() - started, _memory("VmHWM") - before
    if peak > 16 << 20:
        gc.collect()
    figures = {"seconds": seconds, "peak": peak, "reserved": sum(reserved), "left": _memory("VmRSS")}
    return {"outcome": outcome, "trace": trace, **figures}


def _memory(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
