"""Group commit: writers that arrive together share one transaction. A commit costs as much for a hundred as for one."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

#: Most items in a group: more gain nothing in PostgreSQL, and a statement must stay short.
_LARGE = 10_000
#: First and longest pause, in seconds, between two attempts while nothing can be written.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitLimits:
    """How much may wait for an unavailable database, and for how long."""

    seconds: float  # from the call to the error
    callers: int  # more are refused at once
    items: int  # of all callers together


@dataclass(kw_only=True, slots=True, eq=False)
class _Participant(Generic[_Item]):
    """One caller's part of a group."""

    items: Sequence[_Item]
    until: float  # on the monotonic clock: how long it is held
    done: Future[None] = field(default_factory=Future)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.items)
        self.done.add_done_callback(self._forget)

    def _forget(self, done: Future[None]) -> None:
        """Release the items at once when a caller gives up while another write hangs."""
        if done.cancelled():
            self.items = ()


class GroupCommit(Generic[_Item]):
    """Thread-safe; a separate thread writes for all waiting callers. No caller waits for a group to fill.

    A group whose write fails is written again caller by caller, so that each gets the error that is its own; unless the
    error is one that all would meet. Then all are held, and tried again until it is over or a caller's time is up.
    """

    def __init__(
        self,
        write: Callable[[Sequence[_Item]], object],
        *,
        is_everybodys: Callable[[Exception], bool],
        hold: WaitLimits | None = None,
        held: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Start no thread yet.

        Args:
            write: all of it or nothing, in a transaction of its own, and safe to repeat; what it returns is ignored.
            is_everybodys: whether an error says nothing about what was written: the database is away.
            hold: bounds on what waits for the end of such errors; None: nothing does.
            held: called with the first of such errors in a row.
        """
        self._write, self._is_everybodys, self._held = write, is_everybodys, held
        self._hold = hold or WaitLimits(seconds=0, callers=0, items=0)
        self._waiting: deque[_Participant[_Item]] = deque()
        self._items = 0  # of waiting callers
        self._outage: Exception | None = None
        self._pause = _FIRST_PAUSE
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

        Returns at once. If it is cancelled before its turn, nothing is written.
        """
        share = _Participant(items=items, until=time.monotonic() + self._hold.seconds)
        with self._came:
            if self._outage is not None and self._is_full(len(items)):
                share.done.set_exception(self._outage)
                return share.done
            self._enqueue(share)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._came.notify()
        return share.done

    def _is_full(self, more: int) -> bool:
        # With nothing held, the next caller finds out whether the outage is over.
        hold = self._hold
        return bool(self._waiting) and (len(self._waiting) >= hold.callers or self._items + more > hold.items)

    def _enqueue(self, share: _Participant[_Item], *, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(share)
        self._items += share.size

    def _run(self) -> None:
        while True:
            with self._came:
                self._came.wait_for(lambda: self._waiting)
                group = self._next()
            if group and not self._settle(group):
                time.sleep(self._rest())

    def _next(self) -> list[_Participant[_Item]]:
        """The next group, in order of arrival, without callers that have given up."""
        group: list[_Participant[_Item]] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size <= _LARGE):
            share = self._waiting.popleft()
            self._items -= share.size
            if share.done.running() or share.done.set_running_or_notify_cancel():
                group.append(share)
                size += share.size
        return group

    def _settle(self, group: Sequence[_Participant[_Item]]) -> bool:
        """Returns whether something was written, or each caller got its own error."""
        error = self._attempt([item for share in group for item in share.items])
        if error is None:
            self._over()
            for share in group:
                share.done.set_result(None)
        elif self._is_everybodys(error):
            self._put_back(group, error)
            return False
        elif len(group) == 1:
            group[0].done.set_exception(error)
        else:
            settled = [self._settle([share]) for share in group]  # each of them
            return all(settled)
        return True

    def _rest(self) -> float:
        """Seconds until the next try: longer each time, and no later than the first caller's time is up."""
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311  # jitter
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        with self._came:
            left = self._waiting[0].until - time.monotonic() if self._waiting else pause
        return max(min(pause, left), 0.0)

    def _over(self) -> None:
        self._outage, self._pause = None, _FIRST_PAUSE

    def _put_back(self, group: Sequence[_Participant[_Item]], error: Exception) -> None:
        """Hold callers whose time is not up. They go first, in order of arrival."""
        if self._outage is None:
            self._held(error)
        now = time.monotonic()
        with self._came:
            self._outage = error
            for share in reversed(group):
                if now < share.until:
                    self._enqueue(share, first=True)
        for share in group:
            if now >= share.until:
                share.done.set_exception(error)

    def _attempt(self, items: Sequence[_Item]) -> Exception | None:
        """Handle any error, so that the thread survives: nothing else writes for the waiting callers."""
        try:
            self._write(items)
        except Exception as error:  # noqa: BLE001  # each caller gets what is its own
            return error
        except BaseException as error:  # noqa: BLE001  # meant for this thread: not for a caller's to end by
            unwritten = RuntimeError("what writes for many callers was told to end")
            unwritten.__cause__ = error
            return unwritten
        return None
