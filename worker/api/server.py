"""How uvicorn serves the API: fixed components, whatever else is installed, within limits."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from contextlib import ExitStack
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.api.connections import Connections, InTime, limited
from worker.api.refusals import Refusals
from worker.errors import ConfigurationError

#: Bytes of a request's line and headers.
_HEAD_BYTES = 64 << 10
#: File descriptors that this process asks for, and how many of them it needs for anything but connections.
_MOST_FILES, _OTHER_FILES = 65_536, 128
#: Connections, in all and from one address. Each may hold a head; one address may be a proxy for all clients.
_MOST, _MOST_OF_ONE = 8_192, 1_024
_BACKLOG = 2_048


def configured(app: ASGIApp, *, log_level: str = "error", grace: int = 10) -> uvicorn.Config:
    """What ``uvicorn.Server`` runs, on sockets that it is given.

    Args:
        app: to be served.
        log_level: of uvicorn's own log; below "error", strangers could fill it with warnings.
        grace: seconds that requests in flight have to finish at shutdown.
    """
    refusals = Refusals()
    most = most_connections()
    connections = Connections(most=most, most_of_one=min(_MOST_OF_ONE, most * 3 // 4), refusals=refusals)
    return uvicorn.Config(
        _QuietLoop(InTime(app), refusals),
        loop="asyncio",
        http=limited(H11Protocol, connections),
        ws="none",
        h11_max_incomplete_event_size=_HEAD_BYTES,
        backlog=_BACKLOG,
        log_level=log_level,
        access_log=False,
        proxy_headers=False,  # nothing depends on the client's address or the host name
        timeout_graceful_shutdown=grace,
    )


def most_connections() -> int:
    """How many at once: fewer than file descriptors, because the database must never lack one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(_MOST, soft - _OTHER_FILES))


def raise_connection_limit() -> None:
    """Raise the limit of file descriptors as far as allowed: most systems start a process with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of ``host`` that this machine has.

    Raises:
        ConfigurationError: listening on one of them failed; says why, and what to do.
    """
    with ExitStack() as opened:
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = {address[:2]: family for family, *_, address in found}
            there = {address: family for address, family in addresses.items() if _has(family, address[0])}
            listeners = [
                opened.enter_context(socket.create_server(address, family=family, backlog=_BACKLOG))
                for address, family in (there or addresses).items()
            ]
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port}: {_why(error)}; stop the process that uses the port, or choose "
                "another with ENRICH_API_PORT (and the address with ENRICH_API_HOST)"
            ) from error
        opened.pop_all()
    return listeners


def _has(family: int, address: str | int) -> bool:
    """Whether this machine has an address: localhost includes ::1 even in containers without IPv6."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _why(error: OSError) -> str:
    """The error without the address, which ``socket.create_server`` adds in parentheses."""
    return (error.strerror or str(error)).partition(" (while")[0]


class _QuietLoop:
    """Makes the event loop count connections that cannot be accepted, instead of logging a traceback for each.

    When file descriptors run out, asyncio retries for each connection of its backlog and logs each time: a megabyte a
    second.
    """

    def __init__(self, app: ASGIApp, refusals: Refusals) -> None:
        self._app = app
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_exception_handler(self._handle)
        await self._app(scope, receive, send)

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "socket.accept()" in context["message"]:
            self._refusals.count("descriptors", error=str(context.get("exception")))
        else:
            loop.default_exception_handler(context)
