"""Writers that wait for each other anyway share one transaction: a commit costs as much for twelve as for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@dataclass(kw_only=True, slots=True, eq=False)
class _Share(Generic[_Item]):
    """One caller's part of a group."""

    items: Sequence[_Item]
    done: bool = False
    #: None once it is written: whatever ends the thread that writes for others, nobody takes silence for success.
    error: Exception | None = field(default_factory=lambda: RuntimeError("who wrote it with others has ended"))


class SharedWrite(Generic[_Item]):
    """Called from many threads; one of them at a time writes for all that wait. Nobody waits for a group to fill.

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
        self._changed = threading.Condition()
        self._waiting: list[_Share[_Item]] = []
        self._busy = False

    def __call__(self, items: Sequence[_Item]) -> None:
        """Return once ``items`` are committed.

        Raises:
            Exception: what ``write`` raised for them.
        """
        share = _Share(items=items)
        with self._changed:
            self._waiting.append(share)
            self._changed.wait_for(lambda: share.done or not self._busy)
            group, self._waiting = ([], self._waiting) if share.done else (self._waiting, [])
            self._busy = self._busy or bool(group)
        if group:
            self._take_turn(group)
        if share.error is not None:
            raise share.error

    def _take_turn(self, group: Sequence[_Share[_Item]]) -> None:
        try:
            self._settle(group)
        finally:
            with self._changed:
                for share in group:
                    share.done = True
                self._busy = False
                self._changed.notify_all()

    def _settle(self, group: Sequence[_Share[_Item]]) -> None:
        try:
            self._write([item for share in group for item in share.items])
        except Exception as error:  # noqa: BLE001 - each caller gets what is its own
            if len(group) == 1 or self._is_everybodys(error):
                for share in group:
                    share.error = error
                return
            for share in group:
                self._settle([share])
        else:
            for share in group:
                share.error = None
