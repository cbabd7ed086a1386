"""A stop flag that is safe to set from a signal handler."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue


class StopFlag:
    """Like ``threading.Event``, and safe to set in a signal handler.

    An Event's ``set`` takes a lock that its ``wait`` holds briefly. A handler that interrupts
    ``wait`` just then, on the same thread, would wait for the lock forever. This class holds no lock in Python code.
    """

    def __init__(self) -> None:
        """Start with the flag unset."""
        self._made = False
        self._wake: SimpleQueue[None] = SimpleQueue()  # its `put` may interrupt its `get`

    def set(self) -> None:
        """Set the flag for good, and wake all waiters."""
        self._made = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._made

    def wait(self, seconds: float) -> bool:
        """Wait until the flag is set, at most ``seconds``; returns whether it is."""
        if not self._made:
            with suppress(Empty):
                self._wake.get(timeout=max(0.0, seconds))
                self._wake.put(None)  # for other waiters
        return self._made
