"""TCP connections of the API: how many there may be, how long each has for what, and how they end.

uvicorn reads HTTP, and limits the pause between two requests. Everything else is here, between its protocol and the
socket on one side (``Connection``) and between it and the application on the other (``InTime``), by the public
interfaces of asyncio and ASGI.
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

#: In which a request's line and headers must have arrived, from the connection's beginning or the last answer on.
HEAD_SECONDS = 30.0
#: From then on: for its body, its work, and until all of the answer was taken. A body has 60 (``Bodies``) and work at
#: least 30 (``Offload``).
REQUEST_SECONDS = 120.0
#: For who is told to go: what is still being sent is read away meanwhile, since a TCP reset would take the answer from
#: its reader.
LINGER_SECONDS = 2.0
#: Likewise in bytes.
_LINGER_BYTES = 8 << 20

_STATE = "connection"
_CLOSE = (b"connection", b"close")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 32\r\nConnection: close\r\n\r\ntoo many connections; try again\n"
)


class Connections:
    """Those of one server: they are counted, by where they come from."""

    def __init__(self, *, most: int, most_of_one: int, refusals: Refusals) -> None:
        """Set the bounds.

        Args:
            most: of all addresses together.
            most_of_one: of one address; of one network for IPv6, where a host has as many addresses as it likes.
            refusals: counts who is turned away.
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
        """One that came in is gone."""
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
    """One connection: a protocol that reads HTTP, within limits.

    There is one deadline, and no byte that comes or goes puts it off: only a request's beginning and its end do, and
    those only while no answer waits to be read. So a client that asks on and on and reads nothing does not stay.
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
        self._heard = False  # something that is no part of a request that was answered
        self._flushing = False  # an answer was given, and waits to be read
        self._half = False  # the client sends no more
        self._leaving = False
        self._read_away = 0  # bytes, while leaving
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio's side ------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head, or turn it away."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of a stream
        self._transport = transport
        # A head and a body are two writes. asyncio sees to this only where the listening socket was given a protocol;
        # without it, the second one waits for the client to acknowledge the first, for 40 ms.
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
        """Hand it on, unless there is nobody to read it."""
        if self._leaving:
            self._read_away += len(data)
            if self._read_away > _LINGER_BYTES:
                self._transport.abort()
        elif self._admitted:
            self._heard = True
            self._http.data_received(data)

    def eof_received(self) -> bool:
        """Stay for an answer to a request that has arrived."""
        self._half = True
        return self._busy and self._whole

    def pause_writing(self) -> None:
        """Hand it on."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        if self._timer is not None:
            self._timer.cancel()
        if self._admitted:
            self._all.leave(self._address)
            self._http.connection_lost(exc)

    # -- the application's side ----------------------------------------------------------------------------------------
    def begin(self, *, whole: bool) -> None:
        """A request's head has arrived; ``whole``: it has no body."""
        self._busy, self._whole = True, whole
        if not self._transport.get_write_buffer_size():
            self._allow(REQUEST_SECONDS)

    def arrived(self) -> None:
        """The last of its body has, too."""
        self._whole = True

    def end(self) -> None:
        """It was answered, as far as the application is concerned."""
        self._busy, self._heard = False, not self._whole
        self._flushing = self._transport.get_write_buffer_size() > 0
        if not (self._flushing or self._leaving):
            self._allow(HEAD_SECONDS)
        if self._half:
            self._loop.call_soon(self._close_if_idle)  # behind the next request that may have come already

    # -- ending --------------------------------------------------------------------------------------------------------
    def _close_if_idle(self) -> None:
        if not self._busy:
            self._transport.close()

    def _close(self) -> None:
        """What closing is to the HTTP protocol."""
        if self._half or not self._heard or self._leaving:
            self._transport.close()
            return
        self._leaving = True
        try:
            self._transport.write_eof()
        except OSError:  # the client has reset it, and asyncio has not heard of that yet
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
        """End the connection if it is time; a timer is not moved each time that a request begins or ends."""
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        elif self._flushing and not self._transport.get_write_buffer_size():
            self._flushing = False  # all was read at last
            self._timer = None
            self._allow(HEAD_SECONDS)
        else:
            if not self._leaving:
                self._all.refusals.count("slow", client=self._address)
            self._transport.abort()


class _Transport(asyncio.Transport):
    """What the HTTP protocol writes to: the same, except for how it ends."""

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
    """Tells a request's connection how far it is, and ends connections whose requests are not read to their end."""

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
#: Each of two servers may believe another header, and take the end of one request for the beginning of the next.
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
    """A factory of ``protocol`` within limits, as uvicorn calls one. It needs ``InTime`` around the application."""

    def make(*, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None, **given: Any) -> Connection:
        state = dict(app_state)
        loop = _loop or asyncio.get_running_loop()
        state[_STATE] = connection = Connection(protocol(**given, app_state=state, _loop=loop), all_of_them, loop)
        return connection

    return make
