"""The differences between two versions of a taxonomy, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def edits(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line for each place in which two definitions differ, in the order of the document.

    Args:
        before: as ``definition`` gives it, also after a stay in the database.
        after: the same.
    """
    return [line for line in _differences("", _plain(before), _plain(after)) if line]


def _differences(place: str, before: Any, after: Any) -> Iterator[str]:
    if before == after or (_is_nothing(before) and _is_nothing(after)):
        return
    if place == "learned":
        yield from _learned(before or {}, after or {})
    elif place == "neutral":
        rule = f"judged by edition {after}" if after else "judged by a background alone"
        yield f"neutral prompts: models without numbers of their own are now {rule}"
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            inside = f"{place}.{key}" if place else str(key)
            yield from _differences(inside, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and _are_texts([*before, *after]):
        yield from _members(place, before, after)
    elif _is_nothing(before):
        yield f"{place}: + {_shown(after)}"
    elif _is_nothing(after):
        yield f"{place}: - {_shown(before)}"
    else:
        yield f"{place}: {_shown(before)} → {_shown(after)}"


def _learned(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What reviews taught, by space: without the numbers of heads, and with proofs as shares."""
    for space in dict.fromkeys((*before, *after)):
        old, new = before.get(space) or {}, after.get(space) or {}
        where = f"learned in space {space}"
        yield from _differences(f"{where}, thresholds", old.get("thresholds"), new.get("thresholds"))
        yield from _differences(f"{where}, proven", _precisions(old), _precisions(new))
        yield from _differences(f"{where}, head", _head(old), _head(new))


def _precisions(learned: Mapping[str, Any]) -> dict[str, float]:
    return {label: proof["precision"] for label, proof in learned.get("proofs", {}).items()}


def _head(learned: Mapping[str, Any]) -> int | None:
    head = learned.get("head")
    return head["number"] if head else None


def _members(place: str, before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    for each in before:
        if each not in after:
            yield f"{place}: - {_shown(each)}"
    for each in after:
        if each not in before:
            yield f"{place}: + {_shown(each)}"


def _plain(value: Any) -> Any:
    """Turn tuples into lists, and lists of named items into maps, so that each label is compared with itself."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        members = [_plain(each) for each in value]
        if members and all(isinstance(each, dict) and "name" in each for each in members):
            return {each["name"]: {key: own for key, own in each.items() if key != "name"} for each in members}
        return members
    return value


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(each, str) for each in values)


def _is_nothing(value: Any) -> bool:
    return value is None or value in ({}, [], "")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        value = {key: each for key, each in value.items() if not _is_nothing(each)}
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
