"""Notices for a person who waits, from code that does not know about the terminal."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[str], None] | None = None


def listen(listener: Callable[[str], None] | None) -> None:
    """Send notices to ``listener``. None, the default, discards them."""
    global _listener  # noqa: PLW0603  # one per process, like its terminal
    _listener = listener


def tell(sentence: str) -> None:
    """Announce a step that takes a while."""
    if _listener is not None:
        _listener(sentence)
