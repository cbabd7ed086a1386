"""One run of a piece of work for all requests that want its result at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class SingleFlight(Generic[_T]):
    """Work in progress, by what it is about. Waiting for it takes no thread. Belongs to one event loop."""

    def __init__(self) -> None:
        """Nothing is in progress."""
        self._running: dict[Hashable, asyncio.Task[_T]] = {}

    async def __call__(self, about: Hashable, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """The result of ``work``, or of the run about the same that is in progress. Raises what it raises.

        A request that ends before its result is there does not end the work: others may wait for it.
        """
        task = self._running.get(about)
        if task is None:
            task = self._running[about] = asyncio.ensure_future(work())
            task.add_done_callback(lambda done: self._end(about, done))
        return await asyncio.shield(task)

    def _end(self, about: Hashable, task: asyncio.Task[_T]) -> None:
        del self._running[about]
        if not task.cancelled():
            task.exception()  # or asyncio would log it where every request has gone meanwhile
