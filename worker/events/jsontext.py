"""JSON text → plain values. Refuses text that is too deep, or that two parsers would read differently."""

from __future__ import annotations

import json
from typing import NoReturn

from worker.errors import MalformedEventError
from worker.events.fields import Field

#: Nested arrays and objects. Real notifications have six levels.
MAX_DEPTH = 64

_TOO_DEEP = f"expected JSON of at most {MAX_DEPTH} levels"


def decode(body: bytes) -> object:
    """Parse a body: JSON in UTF-8, with or without a byte order mark.

    Raises:
        MalformedEventError: it is something else, deeper than `MAX_DEPTH`, or has a member twice in one object.
    """
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


def decode_within(text: Field) -> Field:
    """Parse JSON in a string of other JSON. Errors in it have paths such as ``$.Message → $.Records``.

    Raises:
        MalformedEventError: it is no string, or no JSON as `decode` wants it.
    """
    body = text.text().encode()
    try:
        return Field(decode(body), f"{text.path} → $")
    except MalformedEventError as error:
        raise MalformedEventError(f"{text.path}: {error}") from error


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
        raise MalformedEventError(f"expected each member once; {twice[:80]!r} is repeated")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedEventError(f"expected JSON; {name} is not a JSON number")
