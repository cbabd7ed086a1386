"""JSON whose objects have each member once; Python would silently take the last of two."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

from worker.errors import ChoiceError
from worker.suggestions import shown


def checked(text: str) -> str:
    """The text, of an address or a command line, unchanged. What is not JSON at all is left to whoever parses it.

    Raises:
        ChoiceError: a member is given twice.
    """
    with suppress(json.JSONDecodeError, RecursionError):
        json.loads(text, object_pairs_hook=_each_once)
    return text


def twice(pairs: list[tuple[str, Any]]) -> str | None:
    """Which member of an object is given several times, and how often; None: none is."""
    if len(dict(pairs)) == len(pairs):
        return None
    [(name, times)] = Counter(name for name, _ in pairs).most_common(1)
    return f"member {shown(name)}: given {times} times; give it once"


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = twice(pairs)
    if told is not None:
        raise ChoiceError(told)
    return dict(pairs)
