"""Suggestions for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_SHOWN = 60  # characters


def shown(name: str) -> str:
    """A name quoted for a message, truncated if it is long."""
    return repr(name if len(name) <= _MOST_SHOWN else f"{name[: _MOST_SHOWN - 1]}…")


def suggested(name: str, choices: Iterable[str], *, otherwise: str) -> str:
    """``did you mean …?`` with the choice nearest to ``name``; ``otherwise`` if none is near."""
    near = difflib.get_close_matches(name[:200].lower(), list(choices), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
