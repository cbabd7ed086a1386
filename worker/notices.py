"""What a person who waits is told, by code that knows of no terminal."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[str], None] | None = None


def listen(listener: Callable[[str], None] | None) -> None:
    """Have sentences told to somebody; to nobody, with None, as it is at first."""
    global _listener  # noqa: PLW0603  # of the process, as its terminal is
    _listener = listener


def tell(sentence: str) -> None:
    """Say what takes its time from now on."""
    if _listener is not None:
        _listener(sentence)
