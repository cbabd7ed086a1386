"""Checks a tokenizer's patterns: they run on every search text, so none may take forever."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_LONGEST = 4_000  # characters of a pattern; GPT-4's has 200
_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
_SIGN = re.compile(r"\\.|\[(?:\\.|\[:\w+:\]|[^\]\\])*\]|[*+][?+]?|\{\d*,\d*\}|.", re.DOTALL)


def check(tokenizer: Path, refuse: Callable[[str], Exception]) -> None:
    """Refuse a tokenizer.json with a pattern that can take forever.

    Raises:
        Exception: what ``refuse`` makes of the reason.
    """
    try:
        loaded = json.loads(tokenizer.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise refuse(f"cannot be read ({error}); copy the tokenizer's files again") from error
    for pattern in _patterns(loaded):
        if len(pattern) > _LONGEST or repeats_repetitions(pattern):
            raise refuse(f"the pattern {pattern[:60]!r} can take forever on some texts; copy the file again")


def _patterns(loaded: Any) -> Iterator[str]:
    """Of normalizers, pre-tokenizers and decoders; vocabularies are not looked through."""
    parts = ("normalizer", "pre_tokenizer", "decoder", "post_processor")
    waiting = [loaded.get(part) for part in parts] if isinstance(loaded, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [each for key, each in value.items() if key != "precompiled_charsmap"]
            if isinstance(value.get("Regex"), str):
                yield value["Regex"]
        elif isinstance(value, list):
            waiting += value


def repeats_repetitions(pattern: str) -> bool:
    """Whether an unbounded repetition contains another unbounded repetition, such as ``(a+)+``."""
    open_groups, closed = [False], False  # whether each has a repetition in it; of the group that was just closed
    for sign in _SIGN.findall(pattern):
        if sign == "(":
            open_groups.append(False)
        elif sign == ")" and len(open_groups) > 1:
            closed = open_groups.pop()
            open_groups[-1] |= closed
            continue
        elif _UNBOUNDED.match(sign):
            if closed:
                return True
            open_groups[-1] = True
        closed = False
    return False
