"""Fetches bytes over HTTP: signed URLs through a connection pool, with a limit on every wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from worker.errors import StoreUnavailableError

_T = TypeVar("_T")

#: Retries after a connection reset: the server may close an idle connection just as we pick it up.
_RESET_RETRIES = 2

#: Bytes per second. A slower body is given up once the read timeout has passed.
SLOWEST = 4096

_CHUNK = 256 * 1024


class _ConnectionResetError(StoreUnavailableError):
    """The connection broke before the answer was complete."""


class HttpTransport:
    """A pool of connections. Safe to use from several threads."""

    def __init__(self, *, timeout: float, pool_size: int, ca_bundle: str | None = None) -> None:
        """Open no connection yet.

        Args:
            timeout: seconds, for connecting and for every wait for bytes.
            pool_size: connections kept open per host; more are opened when needed, and closed after use.
            ca_bundle: file of certificate authorities; None is the system's.
        """
        self._timeout = timeout
        self._manager = urllib3.PoolManager(maxsize=pool_size, ca_certs=ca_bundle, retries=False)

    def close(self) -> None:
        """Close idle connections."""
        self._manager.clear()

    def retrying(self, attempt: Callable[[], _T]) -> _T:
        """Repeat an attempt if its connection is reset; callers may retry other failures later."""
        for _ in range(_RESET_RETRIES):
            try:
                return attempt()
            except _ConnectionResetError:
                continue
        return attempt()

    @contextmanager
    def request(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request; the response's body has not been read and is dropped with its connection unless it is.

        Raises:
            StoreUnavailableError: no connection, no answer in time, or not all of it.
        """
        parts = urlsplit(url)
        where = f"{parts.scheme}://{parts.netloc}"
        with _translated(where):
            pool = self._manager.connection_from_host(parts.hostname, parts.port, parts.scheme)
            # The target goes to the pool and not, as a URL, to the manager, which would resolve `..` in keys.
            response = pool.urlopen(
                method,
                f"{parts.path}?{parts.query}",
                headers={"Accept-Encoding": "identity", **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=self._timeout,
            )
            try:
                yield response
            finally:
                _finish(response)

    def body(self, response: urllib3.BaseHTTPResponse) -> Body:
        """The body of a response of `request`."""
        return Body(response, timeout=self._timeout)


class Body:
    """A response's body as it arrives."""

    def __init__(self, response: urllib3.BaseHTTPResponse, *, timeout: float) -> None:
        self._response = response
        self._timeout = timeout
        self._started = time.monotonic()
        self._chunks: list[bytes] = []
        self.received = 0  # bytes so far

    def read(self, least: int) -> bytes:
        """Read until there are ``least`` bytes or the body ends; returns all that was received, which may be more.

        Raises:
            StoreUnavailableError: the body trickles.
            urllib3.exceptions.HTTPError: it breaks off or stalls.
        """
        while self.received < least and (chunk := self._response.read1(_CHUNK)):
            self._chunks.append(chunk)
            self.received += len(chunk)
            self._check_pace()
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    def _check_pace(self) -> None:
        elapsed = time.monotonic() - self._started
        if elapsed > self._timeout and self.received < elapsed * SLOWEST:
            raise StoreUnavailableError(f"the store sent {self.received} bytes in {elapsed:.0f} s; given up")


def _finish(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back, clean if the body was read, else closed: draining could take gigabytes."""
    if getattr(response, "length_remaining", None) == 0:
        response.drain_conn()
    response.close()
    response.release_conn()


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except ProtocolError as error:
        kind = _ConnectionResetError if _is_reset(error) else StoreUnavailableError
        raise kind(f"{where}: the answer broke off: {error.args[0]}") from error
    except (HTTPError, OSError) as error:
        raise StoreUnavailableError(f"{where}: {error}") from error


def _is_reset(error: ProtocolError) -> bool:
    return any(isinstance(cause, ConnectionError) for cause in error.args)
