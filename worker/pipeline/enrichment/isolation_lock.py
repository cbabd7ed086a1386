"""A shared/exclusive lock: a suspected poison image is processed alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class IsolationLock:
    """Lets in many ordinary batches, or one suspected poison image alone.

    An image whose last worker died is processed while the process holds nothing else: if it kills this process too, no
    other image comes under suspicion. Ordinary batches share the lock; a suspect waits for them and keeps new ones out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0  # ordinary batches; -1: a suspect
        self._awaited = False  # a suspect is waiting: no new ordinary batch may enter
        self._reserved = False

    @contextmanager
    def reservation(self) -> Iterator[bool]:
        """Whether the caller may claim a suspect: at most one thread of the process at a time."""
        with self._changed:
            mine = not self._reserved
            self._reserved = self._reserved or mine
        try:
            yield mine
        finally:
            if mine:
                with self._changed:
                    self._reserved = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock for an ordinary batch."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._awaited)
            self._inside += 1
        try:
            yield
        finally:
            self._leave(-1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock for a suspect; waits until every ordinary batch has left. Needs the reservation."""
        with self._changed:
            self._awaited = True
            self._changed.wait_for(lambda: self._inside == 0)
            self._awaited = False
            self._inside = -1
        try:
            yield
        finally:
            self._leave(1)

    def _leave(self, step: int) -> None:
        with self._changed:
            self._inside += step
            self._changed.notify_all()
