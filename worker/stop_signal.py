"""The wish that a process ends, as a signal handler can utter it at any moment."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue


class StopFlag:
    """Like ``threading.Event``, and safe to set in a signal handler.

    An Event's ``set`` takes a lock that its ``wait`` holds for moments: a handler that runs in one of them, on the same
    thread, waits for that lock for ever, and the process can only be killed. Nothing here is locked in Python's sight.
    """

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self._made = False
        self._wake: SimpleQueue[None] = SimpleQueue()  # its `put` may interrupt its `get`

    def set(self) -> None:
        """Ask; from then on it stays asked. Whoever waits wakes up."""
        self._made = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Whether somebody has asked."""
        return self._made

    def wait(self, seconds: float) -> bool:
        """Wait until somebody asks, for so long at most; whether somebody has."""
        if not self._made:
            with suppress(Empty):
                self._wake.get(timeout=max(0.0, seconds))
                self._wake.put(None)  # for others who wait
        return self._made
