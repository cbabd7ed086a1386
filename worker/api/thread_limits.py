"""Blocking work off the event loop, with limits on threads and waiting time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, fail_after, to_thread

from worker import db
from worker.api.problems import unavailable

_T = TypeVar("_T")


class Offload:
    """Threads for one kind of work. Further callers wait for their turn without occupying a thread."""

    def __init__(self, *, threads: int, patience: float) -> None:
        """Set the limits.

        Args:
            threads: most threads at once.
            patience: seconds from the call to an answer, including the wait for a thread.
        """
        self._limiter = CapacityLimiter(threads)
        self._patience = patience

    async def __call__(self, work: Callable[[], _T]) -> _T:
        """The result of ``work``, run in a thread.

        Work that outlasts ``patience`` runs to its end, and its result is discarded: it must be safe to repeat.

        Raises:
            HTTPException: 503, because the database is unavailable or there was no answer in time.
        """
        with self._answering(), fail_after(self._patience):
            return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    async def result_of(self, begun: Future[_T]) -> _T:
        """The result of work that runs elsewhere. Raises like ``__call__``."""
        with self._answering():
            async with asyncio.timeout(self._patience):
                return await asyncio.wrap_future(begun)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise unavailable(f"no answer in {self._patience:g} seconds; try again", after=5) from error
        except Exception as error:
            if db.is_passing(error):
                raise unavailable(f"the database is {db.why_away(error)}; try again", after=5) from error
            raise
