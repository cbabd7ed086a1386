"""Bytes in flight are bounded, whatever the number of threads and the size of the files."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """A counting semaphore over bytes. First come, first served: small files do not pass a large one for ever."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def lease(self) -> Iterator[Loan]:
        """A loan that is paid back when the block ends, whatever was drawn."""
        loan = Loan(self)
        try:
            yield loan
        finally:
            self._give(loan.drawn)

    def take(self, size: int) -> int:
        """Wait for ``size`` bytes. A file larger than the whole budget takes all of it, and is alone in memory."""
        wanted, ticket = min(size, self._capacity), object()
        with self._changed:
            self._line.append(ticket)
            try:
                self._changed.wait_for(lambda: self._line[0] is ticket and self._free >= wanted)
                self._free -= wanted
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()
        return wanted

    def _give(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify_all()


class Loan:
    """What one file has drawn from the budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.drawn = 0

    def draw(self, size: int) -> None:
        """Reserve ``size`` bytes, once; waits until they are free."""
        if self.drawn == 0:
            self.drawn = self._budget.take(size)
