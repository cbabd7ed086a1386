"""Waiting for what a test cannot be told of: a process, another thread, a server."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import text

from worker.db import Engine


def until(holds: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait for a condition, and fail if it does not hold in time: long, for machines that are busy."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.02)


def until_blocked(engine: Engine) -> None:
    """Wait until a session of this database waits for a lock."""
    blocked = text(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() LIMIT 1"
    )

    def waits() -> bool:
        with engine.connect() as connection:
            return connection.execute(blocked).first() is not None

    until(waits)
