"""Blocking work off the event loop: bounded in threads and in patience."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from fastapi import HTTPException
from sqlalchemy.exc import OperationalError

from worker.api.thread_limits import Offload


def failing(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def test_the_result_comes_back():
    """Work runs in another thread than the caller."""

    async def main() -> int:
        return await Offload(threads=1, patience=5)(threading.get_ident)

    assert run(main) != threading.get_ident()


def test_threads_are_bounded():
    """However many callers, no more than so many work at once."""
    mutex, working, most = threading.Lock(), [0], [0]

    def work() -> None:
        with mutex:
            working[0] += 1
            most[0] = max(most[0], working[0])
        time.sleep(0.02)
        with mutex:
            working[0] -= 1

    async def main() -> None:
        offload = Offload(threads=3, patience=10)
        await asyncio.gather(*(offload(work) for _ in range(20)))

    run(main)
    assert [3] == most


def test_patience_includes_waiting_for_a_thread():
    """Who stands behind slow work gives up in time as well, and is told to come back."""
    release = threading.Event()

    async def main() -> list[Any]:
        offload = Offload(threads=1, patience=0.1)
        try:
            return await asyncio.gather(*(offload(lambda: release.wait(5)) for _ in range(3)), return_exceptions=True)
        finally:
            release.set()

    started = time.monotonic()
    answers = run(main)
    assert time.monotonic() - started < 2
    assert [(answer.status_code, answer.headers) for answer in answers] == [(503, {"Retry-After": "5"})] * 3


def test_a_database_that_is_away_is_said_to_be():
    """Errors of the connection become 503."""

    async def main() -> None:
        await Offload(threads=1, patience=5)(failing(OperationalError("SELECT 1", {}, Exception("gone"))))

    with pytest.raises(HTTPException) as caught:
        run(main)
    assert (503, "the database is away; try again") == (caught.value.status_code, caught.value.detail)


def test_other_errors_stay_what_they_are():
    """A bug is not an outage."""

    async def main() -> None:
        await Offload(threads=1, patience=5)(failing(KeyError("x")))

    with pytest.raises(KeyError):
        run(main)
