"""Filters → their JSON: the inverse of ``Filter.to_value``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter, TagFilter

_SECOND = timedelta(seconds=1)


def filter_json(filter_: ImageFilter) -> dict[str, Any]:
    """The members that are given. The filter is one that people wrote: its names are not resolved."""
    members = {
        field.name: getattr(filter_, field.name)
        for field in fields(filter_)
        if getattr(filter_, field.name) != getattr(EVERY_IMAGE, field.name)
    }
    return {name: _json(name, value) for name, value in members.items()}


def _json(name: str, value: Any) -> Any:
    if name in ("any", "none"):
        return [filter_json(each) for each in value]
    if name == "taken_until":
        return (value - _SECOND).isoformat()  # people mean the second to be within
    return _SPECIAL.get(name, _moment)(value)


def _tag(tag: TagFilter) -> dict[str, Any]:
    return {name: value for name, value in asdict(tag).items() if value is not None}


def _moment(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.days}d{value.seconds}s"
    return value


_SPECIAL: Mapping[str, Callable[[Any], Any]] = {
    "tags": lambda tags: list(map(_tag, tags)),
    "suggested": lambda tags: list(map(_tag, tags)),
    "metadata": dict,
    "undecided": list,
    "box": asdict,
    "near": asdict,
}
