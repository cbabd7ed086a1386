"""The memory that bodies of requests take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fastapi import HTTPException, Request

from worker.api.body_limits import SMALL, Bodies


def request(chunks: Sequence[bytes], length: int | None = None) -> Request:
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    left = list(chunks)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "headers": headers}, receive)


def read(bodies: Bodies, large: Bodies, sent: Request) -> bytes:
    with bodies.of(sent, 32 << 20, large=large) as bounded:
        return asyncio.run(bounded.body())


def test_small_bodies_need_nothing_of_the_memory_for_large_ones():
    """Where uploads that do not end hold all of it, a small request is read, with or without a length."""
    bodies, full = Bodies(in_memory=SMALL, seconds=60), Bodies(in_memory=0, seconds=60)
    assert b"text" == read(bodies, full, request([b"te", b"xt"], 4))
    assert b"text" == read(bodies, full, request([b"te", b"xt"]))
    assert SMALL == len(read(bodies, full, request([b"x" * SMALL])))


@pytest.mark.parametrize("length", [None, SMALL + 1])
def test_large_bodies_take_only_the_memory_for_large_ones(length):
    """Also those that do not say how large they are; all is given back."""
    bodies, large = Bodies(in_memory=SMALL, seconds=60), Bodies(in_memory=SMALL + 1, seconds=60)
    chunks = [b"x" * 1_000, b"x" * (SMALL - 1_000), b"x"]
    for _ in range(2):
        assert SMALL + 1 == len(read(bodies, large, request(chunks, length)))
    bodies.take(SMALL)
    large.take(SMALL + 1)


def test_a_large_body_that_finds_no_memory_holds_none():
    """503, and what it had taken as a small one is free again."""
    bodies, full = Bodies(in_memory=SMALL, seconds=60), Bodies(in_memory=0, seconds=60)
    with pytest.raises(HTTPException) as refused:
        read(bodies, full, request([b"x" * SMALL, b"x"]))
    assert 503 == refused.value.status_code
    bodies.take(SMALL)
