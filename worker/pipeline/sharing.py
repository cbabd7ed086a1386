"""Writers that wait for each other anyway share one transaction: a commit costs as much for a hundred as for one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

#: Items after which a group is large enough: PostgreSQL gains nothing beyond, and one statement stays short.
_LARGE = 10_000


@dataclass(kw_only=True, slots=True, eq=False)
class _Share(Generic[_Item]):
    """One caller's part of a group."""

    items: Sequence[_Item]
    done: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.done.add_done_callback(self._forget)

    def _forget(self, done: Future[None]) -> None:
        """Whoever gives up while another write hangs: nothing is kept for it until that one ends."""
        if done.cancelled():
            self.items = ()


class SharedWrite(Generic[_Item]):
    """Safe to use from any thread; one thread of its own writes for all that wait. Nobody waits for a group to fill.

    A group whose write fails is written again caller by caller, so that each gets the error that is its own; unless the
    error is one that all would meet.
    """

    def __init__(
        self, write: Callable[[Sequence[_Item]], object], *, is_everybodys: Callable[[Exception], bool]
    ) -> None:
        """Write nothing yet.

        Args:
            write: all of it or nothing, in a transaction of its own; what it returns is nobody's.
            is_everybodys: whether an error says nothing about what was written: the database is away.
        """
        self._write, self._is_everybodys = write, is_everybodys
        self._waiting: deque[_Share[_Item]] = deque()
        self._came = threading.Condition()
        self._thread: threading.Thread | None = None

    def __call__(self, items: Sequence[_Item]) -> None:
        """Return once ``items`` are committed.

        Raises:
            Exception: what ``write`` raised for them.
        """
        self.submit(items).result()

    def submit(self, items: Sequence[_Item]) -> Future[None]:
        """A future that is done once ``items`` are committed, or has what ``write`` raised for them.

        Returns at once. Whoever cancels it before its turn came has written nothing.
        """
        share = _Share(items=items)
        with self._came:
            self._waiting.append(share)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._came.notify()
        return share.done

    def _run(self) -> None:
        while True:
            with self._came:
                self._came.wait_for(lambda: self._waiting)
                group = self._next()
            if group:
                self._settle(group)

    def _next(self) -> list[_Share[_Item]]:
        """Those whose turn it is, in the order they came, without those who gave up meanwhile."""
        group: list[_Share[_Item]] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].items) <= _LARGE):
            share = self._waiting.popleft()
            if share.done.set_running_or_notify_cancel():
                group.append(share)
                size += len(share.items)
        return group

    def _settle(self, group: Sequence[_Share[_Item]]) -> None:
        error = self._attempt([item for share in group for item in share.items])
        if error is None:
            for share in group:
                share.done.set_result(None)
        elif len(group) == 1 or self._is_everybodys(error):
            for share in group:
                share.done.set_exception(error)
        else:
            for share in group:
                self._settle([share])

    def _attempt(self, items: Sequence[_Item]) -> Exception | None:
        """What went wrong. Whatever it is, the thread lives on: nobody else writes for those who wait."""
        try:
            self._write(items)
        except Exception as error:  # noqa: BLE001  # each caller gets what is its own
            return error
        except BaseException as error:  # noqa: BLE001  # meant for this thread: not for a caller's to end by
            unwritten = RuntimeError("what writes for many callers was told to end")
            unwritten.__cause__ = error
            return unwritten
        return None
