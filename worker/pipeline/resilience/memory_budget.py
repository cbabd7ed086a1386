"""Limits the bytes in flight, whatever the number of threads and the sizes of files and pictures."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """A counting semaphore over bytes. First come, first served, so that small files cannot starve a large one."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def lease(self) -> Iterator[Reservation]:
        """A reservation that is released when the block ends."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._give(reservation.drawn)

    def take(self, size: int) -> int:
        """Wait for ``size`` bytes. A file larger than the whole budget takes all of it."""
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


class Reservation:
    """The bytes that one file has reserved."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.drawn = 0

    def draw(self, size: int) -> None:
        """Reserve ``size`` bytes, once; waits until they are free."""
        if self.drawn == 0:
            self.drawn = self._budget.take(size)


#: Bytes for files stored compressed while they are decompressed, on top of decoding.
_UNPACKED_BYTES = 512 << 20


class DecodeSlots:
    """Bounds on decoding: so many at once, because more than there are cores only wait for each other; and so much
    memory between them, because one picture may need as much as a hundred others.
    """

    def __init__(self, *, count: int, memory: ByteBudget) -> None:
        self.count = count
        self._turns = threading.BoundedSemaphore(count)
        self._memory = memory
        self._unpacked = ByteBudget(_UNPACKED_BYTES)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Decode and resize one picture; waits until a decoder is free."""
        with self._turns:
            yield

    @contextmanager
    def unpack(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes for a file that was stored compressed. Not during a turn, for which others wait here."""
        with self._unpacked.lease() as reservation:
            reservation.draw(size)
            yield

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes of memory; waits until they are free. A picture larger than all of it is alone."""
        with self._memory.lease() as reservation:
            reservation.draw(size)
            yield
