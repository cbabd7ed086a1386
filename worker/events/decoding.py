"""Bytes → parsed JSON → envelope. JSON that two parsers would read differently is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NoReturn

from worker.errors import MalformedEventError
from worker.events import s3, seaweedfs
from worker.events.values import Envelope

#: Levels of arrays and objects. Real notifications have six.
MAX_DEPTH = 64

_PARSERS: Mapping[str, Callable[[object], Envelope]] = {
    seaweedfs.SOURCE: seaweedfs.parse_seaweedfs,
    s3.SOURCE: s3.parse_s3,
}

#: The sources that `parse` knows.
SOURCES = tuple(_PARSERS)


def parse(source: str, body: bytes) -> Envelope:
    """Understand a request's body.

    Args:
        source: one of `SOURCES`.
        body: JSON in UTF-8, with or without a byte order mark.

    Raises:
        MalformedEventError: the source is unknown, the body is no JSON, or it is no notification of that source.
    """
    if source not in _PARSERS:
        raise MalformedEventError(f"unknown event source {source[:40]!r}; choose one of {', '.join(SOURCES)}")
    return _PARSERS[source](_json(body))


def _json(body: bytes) -> object:
    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedEventError(f"expected JSON in UTF-8; byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise MalformedEventError(f"expected JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise MalformedEventError(_TOO_DEEP) from error
    except ValueError as error:  # Python refuses to parse integers of more than 4,300 digits
        raise MalformedEventError("expected numbers of fewer than 4,300 digits") from error
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    return value


_TOO_DEEP = f"expected JSON of at most {MAX_DEPTH} levels"


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _containers(parent)]
    if level:
        raise MalformedEventError(_TOO_DEEP)


def _containers(value: object) -> list[object]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedEventError(f"expected each member once; {twice[:80]!r} is there twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedEventError(f"expected JSON; {name} is not a JSON number")
