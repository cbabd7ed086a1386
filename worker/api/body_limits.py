"""Limits on request bodies: uncompressed, of bounded size and duration, and of bounded memory in total."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException, Request
from starlette.types import Message

from worker.api.problems import unavailable

#: Bytes. Larger bodies of routes that take uploads share memory of their own: who stalls them holds up no others.
SMALL = 64 << 10


class Bodies:
    """The bodies of all requests in flight."""

    def __init__(self, *, in_memory: int, seconds: float) -> None:
        """Set the limits.

        Args:
            in_memory: bytes of all bodies together.
            seconds: within which a body must arrive.
        """
        self._free = in_memory
        self._seconds = seconds

    @contextmanager
    def of(self, request: Request, limit: int, *, large: Bodies | None = None) -> Iterator[Request]:
        """``request`` with a body that is refused as soon as more than ``limit`` bytes have arrived.

        Args:
            request: of which nothing was read yet.
            limit: bytes.
            large: whose memory a body of more than ``SMALL`` bytes takes, from its beginning if it says its length.
        """
        encoding = request.headers.get("content-encoding", "")
        if encoding.strip().lower() not in {"", "identity"}:
            message = f"send the body uncompressed, without Content-Encoding: {encoding[:100]}"
            raise HTTPException(415, message, {"Accept-Encoding": "identity"})
        meter = _Meter(self, large or self, request, limit, time.monotonic() + self._seconds)
        try:
            yield Request(request.scope, meter.receive)
        finally:
            meter.give_back()

    def take(self, size: int) -> None:
        """Reserve memory.

        Raises:
            HTTPException: 503, because requests in flight use all of it.
        """
        if size > self._free:
            raise unavailable("too many requests at once; try again", after=1)
        self._free -= size

    def give_back(self, size: int) -> None:
        """Return what was reserved."""
        self._free += size


class _Meter:
    def __init__(self, bodies: Bodies, large: Bodies, request: Request, limit: int, deadline: float) -> None:
        self.held = 0
        self._bodies = bodies
        self._large = large
        self._request = request
        self._limit = limit
        self._deadline = deadline
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._request.receive()
        if self.held == 0 and self._announced() > self._limit:
            raise self._too_large()
        message = await self._next()
        self._complete = not message.get("more_body", False)
        size = len(message.get("body", b""))
        if self.held + size > self._limit:
            raise self._too_large()
        self._take(size)
        return message

    def _take(self, size: int) -> None:
        if self._bodies is not self._large and max(self.held + size, self._announced()) > SMALL:
            self._large.take(self.held)
            self._bodies.give_back(self.held)
            self._bodies = self._large
        self._bodies.take(size)
        self.held += size

    def give_back(self) -> None:
        self._bodies.give_back(self.held)

    def _announced(self) -> int:
        """``Content-Length``; 0 without one. The server has already refused those that are not numbers."""
        return int(self._request.headers.get("content-length", 0))

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                return await self._request.receive()
        except TimeoutError as error:
            raise HTTPException(408, "the body did not arrive in time") from error

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"larger than {self._limit:,} bytes; send less at once")
