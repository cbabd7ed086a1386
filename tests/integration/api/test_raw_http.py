"""What can be done to the API's server with a socket and no token, or with one and no manners."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.integration.api.live import TOKEN, LiveApi, record, serve
from worker.api import connections

#: Seconds of the limits while these tests run.
HEAD, REQUEST, LINGER = 1.0, 3.0, 1.0
#: Seconds that a busy machine may add.
SLACK = 8.0
BODY = json.dumps(record("a.jpg")).encode()
AUTHORISED = f"POST /v1/events/s3 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
STRANGER = b"POST /v1/events/s3 HTTP/1.1\r\nHost: localhost\r\n"
LARGE_ANSWER = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def target(shared_api) -> Iterator[LiveApi]:
    """The API as it is served, with limits that tests can wait for."""
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in (("HEAD_SECONDS", HEAD), ("REQUEST_SECONDS", REQUEST), ("LINGER_SECONDS", LINGER)):
            patch.setattr(connections, name, seconds)
        with serve(shared_api.services) as live:
            yield live


def connect(target: LiveApi, *, source: str = "127.0.0.1", buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.bind((source, 0))
    connection.settimeout(20)
    connection.connect(("127.0.0.1", target.port))
    return connection


def received(connection: socket.socket) -> bytes:
    """Everything until the other side ends the connection."""
    parts: list[bytes] = []
    with suppress(ConnectionError):
        while data := connection.recv(65_536):
            parts.append(data)
    return b"".join(parts)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", answers)]


def is_gone(connection: socket.socket) -> bool:
    """Whether the system says that the connection has ended, without reading what came."""
    state: int = struct.unpack("B", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
    return state not in (1, 2)  # established, being established


def wait_until(condition: Callable[[], bool], *, most: float, meanwhile: Callable[[], object] = lambda: None) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < most, f"still open after {most} seconds"
        with suppress(OSError):
            meanwhile()
        time.sleep(0.05)


# -- who says too little -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opening", "drip"),
    [
        (b"", b""),
        (b"GET / HT", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"A: b\r\n"),
        (b"", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G"),
    ],
    ids=["nothing", "half a line", "one header", "many headers", "empty lines", "empty lines later", "a second head"],
)
def test_a_head_has_its_time(target, opening, drip):
    """Whoever ends no head is hung up on, whether silent or dripping: a first one or a later one."""
    with connect(target) as connection:
        connection.sendall(opening)
        wait_until(lambda: is_gone(connection), most=HEAD + SLACK, meanwhile=lambda: connection.sendall(drip))


@pytest.mark.parametrize("framing", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
@pytest.mark.parametrize("drip", [b"", b"1"], ids=["silent", "dripping"])
@pytest.mark.parametrize(
    "head",
    [STRANGER, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n",
     b"DELETE /v1/search HTTP/1.1\r\nHost: localhost\r\n"],
    ids=["401", "200", "404", "405"],
)  # fmt: skip
def test_an_answer_ends_a_connection_whose_body_was_not_read(target, head, framing, drip):
    """A body that does not come would keep it open for ever, a byte at a time, and nobody needs a token for it."""
    with connect(target) as connection:
        connection.sendall(head + framing)
        wait_until(lambda: is_gone(connection), most=LINGER + SLACK, meanwhile=lambda: connection.sendall(drip))
        answers = received(connection)
    assert 1 == len(statuses(answers))
    assert re.search(rb"(?i)\r\nconnection: close\r\n", answers)


@pytest.mark.parametrize("drip", [b"", b" "], ids=["silent", "dripping"])
def test_a_request_has_its_time(target, drip):
    """With the token as well: one timer for all of a request, that bytes do not set back."""
    with connect(target) as connection:
        connection.sendall(AUTHORISED + b"Content-Length: 100000\r\n\r\n")
        wait_until(lambda: is_gone(connection), most=REQUEST + SLACK, meanwhile=lambda: connection.sendall(drip))


def test_who_is_refused_can_read_why(target):
    """An answer is not lost because its reader was still sending: the rest is read away before the connection ends."""
    with connect(target) as connection:
        connection.sendall(STRANGER + b"Content-Length: 3000000\r\n\r\n")
        for _ in range(3):
            connection.sendall(b"x" * 1_000_000)
        assert [401] == statuses(received(connection))


def test_nobody_is_asked_to_send_what_is_not_read(target):
    """`Expect: 100-continue` of a stranger is answered with 401 alone."""
    with connect(target) as connection:
        connection.sendall(STRANGER + b"Content-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
        assert [401] == statuses(received(connection))


# -- who does not listen -----------------------------------------------------------------------------------------------


def test_answers_that_nobody_reads_have_their_time(target):
    """Writing is in the same timer: a client that asks and never reads holds nothing for long."""
    with connect(target, buffer=4_096) as connection:
        sender = threading.Thread(target=_send_all, args=(connection, LARGE_ANSWER * 3_000), daemon=True)
        sender.start()
        wait_until(lambda: is_gone(connection), most=REQUEST + SLACK)
        sender.join(20)


def _send_all(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.sendall(data)


def test_pipelined_requests_are_answered_in_order(target):
    """Whoever reads gets all of it."""
    paths = [b"/healthz", b"/nothing", b"/v1/status", b"/healthz"] * 25
    with connect(target) as connection:
        connection.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths))
        connection.shutdown(socket.SHUT_WR)
        assert [200, 404, 401, 200] * 25 == statuses(received(connection))


def test_half_a_connection_is_enough_for_an_answer(target):
    """Some clients close their sending half behind a request."""
    with connect(target) as connection:
        connection.sendall(AUTHORISED + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        connection.shutdown(socket.SHUT_WR)
        assert [200] == statuses(received(connection))


@pytest.mark.parametrize("begun", [b"GET / HT", AUTHORISED + b"Content-Length: 100\r\n\r\n{"])
def test_half_a_connection_with_half_a_request_ends_at_once(target, begun):
    """Nothing can complete it."""
    with connect(target) as connection:
        connection.sendall(begun)
        connection.shutdown(socket.SHUT_WR)
        started = time.monotonic()
        received(connection)
        assert time.monotonic() - started < HEAD


# -- who says something ambiguous --------------------------------------------------------------------------------------

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 45\r\n\r\n",
        b"Content-Length: 0, 45\r\n\r\n",
        b"Content-Length: +0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 0x2d\r\n\r\n",
        b"Content-Length : 0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"Host: other\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_nothing_is_smuggled(target, framing):
    """Where two servers could disagree on where a request ends, it is refused and its connection is closed."""
    with connect(target) as connection:
        connection.sendall(AUTHORISED + framing + SMUGGLED)
        connection.shutdown(socket.SHUT_WR)
        assert statuses(received(connection)) in ([400], [])


@pytest.mark.parametrize("offer", [b"h2c", b"websocket", b"TLS/1.0", b"nonsense"])
@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_an_offer_of_another_protocol_loses_nothing(target, offer, framing):
    """Go's and Java's clients offer HTTP/2: the body is read, and the next request answered, as if they had not."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" % offer
    counted = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    request = (
        AUTHORISED + upgrade + (counted if framing == "counted" else b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED)
    )
    with connect(target) as connection:
        connection.sendall(request + request + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = received(connection)
    assert [200, 200, 200] == statuses(answers)
    assert 2 == answers.count(b'"hinted":1')


@pytest.mark.parametrize(
    "nonsense",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
    ],
    ids=["HTTP/2", "TLS", "HTTP/0.9", "HTTP/9.9"],
)
def test_another_protocol_is_refused(target, nonsense):
    """What is not HTTP/1 ends the connection in time."""
    with connect(target) as connection:
        connection.sendall(nonsense)
        answers = received(connection)
    assert statuses(answers) in ([], [400], [505])


@pytest.mark.parametrize("endless", [b"a", b"X: a\r\n"], ids=["one header", "many headers"])
def test_a_head_has_a_size(target, endless):
    """Ten megabytes of head are not collected, and make no answer but a refusal."""
    with connect(target) as connection:
        _send_all(connection, STRANGER + endless * (10_000_000 // len(endless)))
        assert statuses(received(connection)) in ([], [400], [431])


@pytest.mark.parametrize("trailer", [b"a", b"X: a\r\n"], ids=["extension", "trailers"])
def test_what_surrounds_chunks_has_a_size(target, trailer):
    """Neither extensions of a chunk nor trailers behind the last one are collected without end."""
    start = b"1;" if trailer == b"a" else b"0\r\n"
    with connect(target) as connection:
        _send_all(connection, AUTHORISED + b"Transfer-Encoding: chunked\r\n\r\n" + start)
        _send_all(connection, trailer * (10_000_000 // len(trailer)))
        assert statuses(received(connection)) in ([], [400])
