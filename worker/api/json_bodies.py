"""Request bodies of JSON: read off the event loop, with limits on how many values they have."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException, Request

from worker.api.body_limits import SMALL
from worker.suggestions import shown

#: Values cost up to a hundred times their bytes in memory, and milliseconds for each thousand. These limits allow 256
#: vectors of 4,096 numbers, and twice the members that ten thousand labels of a test set have.
_MOST_CONTAINERS, _MOST_MEMBERS, _MOST_VALUES, _MOST_QUOTES = 50_000, 100_000, 1_200_000, 1_000_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
#: One at a time: parsing holds Python's lock, so that several would only hold up everything else for longer.
_PARSING = CapacityLimiter(1)


class JsonRequest(Request):
    """A request whose JSON objects have each member once; Python would silently take the last of two."""

    async def json(self) -> Any:
        """The body's value.

        Raises:
            HTTPException: 413 for too many values, 422 for a member that is given twice.
            ValueError: it is not JSON; FastAPI answers with its place.
        """
        body = await self.body()
        if len(body) <= SMALL:
            return parsed(body)  # faster than a thread
        return await to_thread.run_sync(partial(parsed, body), limiter=_PARSING)


def parsed(body: bytes) -> Any:
    """The value of JSON. Raises what ``JsonRequest.json`` raises."""
    if len(body) > SMALL:
        _require_few(body)
    return json.loads(body, object_pairs_hook=_each_once)


def _require_few(body: bytes) -> None:
    """Refuse too many values before they take memory: characters are counted, first with those in strings."""
    found = _most(body)
    # Where there are too many strings to leave out, that takes too long. A NUL is in no JSON of UTF-8; in UTF-16,
    # strings would be found in the wrong places.
    if found is not None and body.count(b'"') <= _MOST_QUOTES and b"\x00" not in body:
        found = _most(_STRING.sub(b"", body))
    if found is None:
        return
    raise HTTPException(
        413,
        f"the body has {found}; send less at once, and vectors as little-endian float32 in base64",
    )


def _most(body: bytes) -> str | None:
    """Of what there is too much; None if there is not."""
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS:
        return f"more than {_MOST_CONTAINERS:,} lists and objects"
    if body.count(b":") > _MOST_MEMBERS:
        return f"more than {_MOST_MEMBERS:,} members of objects"
    if body.count(b",") > _MOST_VALUES:
        return f"more than {_MOST_VALUES:,} values"
    return None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(name, times)] = Counter(name for name, _ in pairs).most_common(1)
        raise HTTPException(422, f"member {shown(name)}: given {times} times; give it once")
    return members
