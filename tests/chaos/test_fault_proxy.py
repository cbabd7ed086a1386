"""The proxy does what its modes say, to connections that are open and to new ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from tests.chaos.proxy import FaultProxy, Mode

_BODY = bytes(range(256)) * 40


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # head and body leave together, as a store sends what is small

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that break off are what is tested here."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """Before a server that answers every GET."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with FaultProxy(server.server_port) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


class Client:
    """One connection, kept open."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", proxy.port, maxsize=1, retries=False, timeout=1.0)

    def get(self) -> tuple[int, bytes]:
        answer = self._pool.request("GET", "/")
        return answer.status, answer.data


def test_by_default_everything_passes(proxy: FaultProxy) -> None:
    """Several requests on one connection."""
    client = Client(proxy)
    assert [(200, _BODY)] * 3 == [client.get() for _ in range(3)]


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (Mode.REFUSE, NewConnectionError),
        (Mode.STALL, ReadTimeoutError),
        (Mode.RESET, ConnectionResetError),
        (Mode.CUT, IncompleteRead),
    ],
)
def test_a_client_sees_the_fault_and_is_served_again_afterwards(
    proxy: FaultProxy, mode: Mode, error: type[Exception]
) -> None:
    """Also one whose connection was open when the fault began."""
    client = Client(proxy)
    client.get()
    proxy.switch(mode)
    with pytest.raises(HTTPError) as raised:
        client.get()
    assert error in (type(raised.value), type(raised.value.args[-1]))
    proxy.switch(Mode.PASS)
    assert (200, _BODY) == client.get()


def test_unavailable_is_an_answer(proxy: FaultProxy) -> None:
    """503 with the error document of S3, on open connections, too."""
    client = Client(proxy)
    client.get()
    proxy.switch(Mode.UNAVAILABLE)
    for _ in range(2):
        status, body = client.get()
        assert (503, True) == (status, b"<Code>SlowDown</Code>" in body)


def test_what_stalled_goes_on_when_the_fault_ends(proxy: FaultProxy) -> None:
    """Nothing of a stalled request is lost."""
    proxy.switch(Mode.STALL)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(Client(proxy).get)
        time.sleep(0.3)
        assert not answer.done()
        proxy.switch(Mode.PASS)
        assert (200, _BODY) == answer.result(5)


def test_slow_answers_arrive_whole(proxy: FaultProxy) -> None:
    """Forty pieces of 256 bytes, with a pause after each."""
    proxy.switch(Mode.SLOW)
    began = time.monotonic()
    assert (200, _BODY) == Client(proxy).get()
    assert time.monotonic() - began > 0.6
