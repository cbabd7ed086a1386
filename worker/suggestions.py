"""Names that nothing has, and those that may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_SHOWN = 60  # characters


def shown(name: str) -> str:
    """A name as a message quotes it, cut where it is long."""
    return repr(name if len(name) <= _MOST_SHOWN else f"{name[: _MOST_SHOWN - 1]}…")


def suggested(name: str, choices: Iterable[str], *, otherwise: str) -> str:
    """``did you mean …?``, with the choice that is nearest to ``name``; ``otherwise`` where none is near."""
    near = difflib.get_close_matches(name[:200].lower(), list(choices), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
