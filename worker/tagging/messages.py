"""Wording shared by all error messages about taxonomies."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, TypeAlias

from worker.tagging.yaml_lines import Path

#: Where in a document, and what is wrong there.
Finding: TypeAlias = tuple[Path, str]

KINDS = {
    "array": "a list",
    "boolean": "a boolean",
    "null": "nothing",
    "number": "a number",
    "object": "a map (key: value)",
    "string": "text",
}

_MOST_SHOWN = 60  # characters of a value in a message


def shown(value: Any) -> str:
    """A value quoted for a message, truncated if it is long."""
    for kind, types in (("array", list), ("object", dict), ("null", type(None))):
        if isinstance(value, types):
            return KINDS[kind]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
    return repr(text) if isinstance(value, str) else text


def lowered(sentence: str) -> str:
    """A sentence to go on with after a colon."""
    return sentence[0].lower() + sentence[1:].rstrip(".")


def did_you_mean(name: Any, choices: Collection[str]) -> str:
    """``; did you mean …?``, or nothing if no choice is near."""
    nearest = difflib.get_close_matches(str(name).lower(), list(choices), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def dotted(path: Path) -> str:
    """``labels.day.prompts[1]``, as error messages write it; on one line whatever the file has for keys."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in path).lstrip(".")


def _printable(key: str) -> str:
    return key if key.isprintable() and len(key) <= _MOST_SHOWN else shown(key)
