"""TCP connections of the API: limits on their number and on the time of each step, and how they end.

uvicorn reads HTTP, and limits the pause between two requests. This module does the rest, between uvicorn's protocol and
the socket on one side (``Connection``) and between it and the application on the other (``InTime``). It uses only the
public interfaces of asyncio and ASGI.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.api import problems
from worker.api.refusals import Refusals

#: Time for a request's line and headers to arrive, from the start of the connection or from the last answer.
HEAD_SECONDS = 30.0
#: Time from then on for its body, its work, and until the client has read the answer. A body has 60 (``Bodies``) and
#: work at least 30 (``Offload``).
REQUEST_SECONDS = 120.0
#: Time to read and discard what a dismissed client still sends: a TCP reset could destroy the answer before the client
#: has read it.
LINGER_SECONDS = 2.0
#: The same limit in bytes.
_LINGER_BYTES = 8 << 20

_STATE = "connection"
_CLOSE = (b"connection", b"close")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 32\r\nConnection: close\r\n\r\ntoo many connections; try again\n"
)


class Connections:
    """The open connections of one server, counted by address."""

    def __init__(self, *, most: int, most_of_one: int, refusals: Refusals) -> None:
        """Set the limits.

        Args:
            most: for all addresses together.
            most_of_one: for one address; for one /64 network with IPv6, where a host has any number of addresses.
            refusals: counts refused connections.
        """
        self.refusals = refusals
        self._most = most
        self._most_of_one = most_of_one
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Whether there is room for one more."""
        group = _group(address)
        if self._open.total() >= self._most or self._open[group] >= self._most_of_one:
            self.refusals.count("connections", client=address)
            return False
        self._open[group] += 1
        return True

    def leave(self, address: str) -> None:
        """Count out a connection that has ended."""
        group = _group(address)
        self._open[group] -= 1
        if not self._open[group]:
            del self._open[group]


def _group(address: str) -> str:
    if ":" not in address:
        return address
    whole = ipaddress.IPv6Address(address.partition("%")[0])
    return str(whole.ipv4_mapped or ipaddress.IPv6Network((whole, 64), strict=False))


class Connection(asyncio.Protocol):
    """One connection: puts limits around a protocol that reads HTTP.

    There is one deadline. Traffic does not extend it: only the start and the end of a request do, and only while no
    answer waits to be read. So a client that keeps sending requests and reads nothing is disconnected.
    """

    def __init__(self, http: asyncio.Protocol, all_of_them: Connections, loop: asyncio.AbstractEventLoop) -> None:
        self._http = http
        self._all = all_of_them
        self._loop = loop
        self._transport: asyncio.Transport
        self._address = ""
        self._admitted = False
        self._busy = False  # with a request
        self._whole = True  # that request, if any, has arrived completely
        self._heard = False  # data has arrived that is not part of an answered request
        self._flushing = False  # an answer was written, and waits to be read
        self._half = False  # the client has closed its sending side
        self._leaving = False
        self._read_away = 0  # bytes, while leaving
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio's side ------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a head, or refuse the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of a stream
        self._transport = transport
        # Head and body are two writes. Without TCP_NODELAY the second one waits up to 40 ms until the client has
        # acknowledged the first. asyncio sets it only if the listening socket was created with a protocol number.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = str((transport.get_extra_info("peername") or [""])[0])
        self._admitted = self._all.enter(self._address)
        if self._admitted:
            self._http.connection_made(_Transport(transport, close=self._close))
            self._allow(HEAD_SECONDS)
        else:
            transport.write(_BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass it on, unless the connection is ending."""
        if self._leaving:
            self._read_away += len(data)
            if self._read_away > _LINGER_BYTES:
                self._transport.abort()
        elif self._admitted:
            self._heard = True
            self._http.data_received(data)

    def eof_received(self) -> bool:
        """Stay open to answer a request that has arrived."""
        self._half = True
        return self._busy and self._whole

    def pause_writing(self) -> None:
        """Pass it on."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._admitted:
            self._all.leave(self._address)
            self._http.connection_lost(exc)

    # -- the application's side ----------------------------------------------------------------------------------------
    def begin(self, *, whole: bool) -> None:
        """A request's head has arrived. ``whole``: it has no body."""
        self._busy, self._whole = True, whole
        if not self._transport.get_write_buffer_size():
            self._allow(REQUEST_SECONDS)

    def arrived(self) -> None:
        """The request's body has arrived completely."""
        self._whole = True

    def end(self) -> None:
        """The application has answered the request."""
        self._busy, self._heard = False, not self._whole
        self._flushing = self._transport.get_write_buffer_size() > 0
        if not (self._flushing or self._leaving):
            self._allow(HEAD_SECONDS)
        if self._half:
            self._loop.call_soon(self._close_if_idle)  # after a next request that may already be there

    # -- ending --------------------------------------------------------------------------------------------------------
    def _close_if_idle(self) -> None:
        if not self._busy:
            self._transport.close()

    def _close(self) -> None:
        """Close the connection as the HTTP protocol asked."""
        if self._half or not self._heard or self._leaving:
            self._transport.close()
            return
        self._leaving = True
        try:
            self._transport.write_eof()
        except OSError:  # the client has reset it, and asyncio does not know that yet
            self._transport.abort()
        self._transport.resume_reading()
        self._allow(LINGER_SECONDS)

    def _allow(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)
        elif self._due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        """End the connection if it is overdue. The timer is not moved at every start and end of a request."""
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        elif self._flushing and not self._transport.get_write_buffer_size():
            self._flushing = False  # the client has now read everything
            self._timer = None
            self._allow(HEAD_SECONDS)
        else:
            if not self._leaving:
                self._all.refusals.count("slow", client=self._address)
            self._transport.abort()


class _Transport(asyncio.Transport):
    """The transport that the HTTP protocol writes to; only closing differs."""

    def __init__(self, transport: asyncio.Transport, *, close: Any) -> None:
        super().__init__()
        self._transport = transport
        self._closing = False
        self._close = close
        self.write = transport.write  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]

    def resume_reading(self) -> None:
        if not self._closing:
            self._transport.resume_reading()

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._close()


class InTime:
    """Reports a request's progress to its connection, and ends connections whose requests were not read completely."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: Connection | None = scope.get("state", {}).get(_STATE)
        if connection is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send, connection)
        connection.begin(whole=request.whole)
        try:
            await (request.refusal() or self._app)(scope, request.receive, request.send)
        finally:
            connection.end()


_LEAVE = {"Connection": "close"}
#: Two servers in a row may trust different headers, and disagree on where one request ends (request smuggling).
_AMBIGUOUS = problems.answer(400, "send Content-Length or Transfer-Encoding, never both", _LEAVE)
_NOT_SPOKEN = problems.answer(505, "send HTTP/1.1 or HTTP/1.0", _LEAVE)


class _Request:
    def __init__(self, scope: Scope, receive: Receive, send: Send, connection: Connection) -> None:
        framing = {name: value for name, value in scope["headers"] if name in (b"content-length", b"transfer-encoding")}
        self.whole = framing in ({}, {b"content-length": b"0"})
        self._is_ambiguous = len(framing) > 1
        self._is_spoken = scope["http_version"] in ("1.0", "1.1")
        self._receive = receive
        self._send = send
        self._connection = connection

    def refusal(self) -> ASGIApp | None:
        if not self._is_spoken:
            return _NOT_SPOKEN
        return _AMBIGUOUS if self._is_ambiguous else None

    async def receive(self) -> Message:
        message = await self._receive()
        if not (self.whole or message.get("more_body", False)):
            self.whole = True
            self._connection.arrived()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.whole and _CLOSE not in message["headers"]:
            message["headers"] = [*message["headers"], _CLOSE]
        await self._send(message)


def limited(protocol: Callable[..., asyncio.Protocol], all_of_them: Connections) -> Any:
    """A factory for ``protocol`` within limits, as uvicorn expects. The application must be wrapped in ``InTime``."""

    def make(*, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None, **given: Any) -> Connection:
        state = dict(app_state)
        loop = _loop or asyncio.get_running_loop()
        state[_STATE] = connection = Connection(protocol(**given, app_state=state, _loop=loop), all_of_them, loop)
        return connection

    return make
