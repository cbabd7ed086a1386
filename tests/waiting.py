"""Waiting for what a test cannot be told of: a process, another thread, a server."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait for a condition, and fail if it does not hold in time: long, for machines that are busy."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.02)
