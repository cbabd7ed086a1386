"""How the API is served: one choice of uvicorn's parts, whatever else is installed, and no patience for silence."""

from __future__ import annotations

import asyncio
import resource

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds in which a request's line and headers must have arrived, from the connection's or their own first byte on.
HEAD_SECONDS = 30.0
#: Bytes of them.
_HEAD_BYTES = 64 << 10
_MOST_FILES = 65_536


def configured(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, log_level: str = "error", grace: int = 10
) -> uvicorn.Config:
    """What ``uvicorn.Server`` runs.

    Args:
        app: to be served.
        host: to listen on, for whoever gives it no sockets.
        port: likewise.
        log_level: of uvicorn's own words; below "error", strangers could fill the log with warnings.
        grace: seconds that requests in flight have at the end.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="asyncio",
        http=Impatient,
        ws="none",
        h11_max_incomplete_event_size=_HEAD_BYTES,
        log_level=log_level,
        access_log=False,
        proxy_headers=False,  # nothing depends on who asks, or under which name
        timeout_graceful_shutdown=grace,
    )


def raise_connection_limit() -> None:
    """Have as many connections as this process may: most systems let it begin with 1,024 file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


class Impatient(H11Protocol):
    """HTTP/1.1 by h11, with a time limit for heads.

    uvicorn itself waits for ever for a first request, and for the end of any head that was begun: a few hundred silent
    connections of strangers would use up the process's file descriptors.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start to wait for a head."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Handle what came; of a head that is not complete with it, go on waiting."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
