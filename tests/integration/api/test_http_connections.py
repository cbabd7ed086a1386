"""Connections that say nothing, or too much, or something odd, over real HTTP."""

from __future__ import annotations

import json
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tests.integration.api.live import TOKEN, LiveApi, record
from tests.ledger import pending
from worker.api import server

BODY = json.dumps(record("a.jpg")).encode()
HEAD = f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@contextmanager
def connected(api: LiveApi) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        yield connection


def post(headers: bytes = b"") -> bytes:
    return HEAD + headers + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def answer(connection: socket.socket) -> int:
    """Status of the next answer, read to the end of its body."""
    received = b""
    while not received.endswith(b'"test":false}'):
        received += connection.recv(1)
    return int(received.split()[1])


@pytest.fixture
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"", b"POST /v1/ev", HEAD], ids=["nothing", "a part of a line", "some headers"])
def test_who_never_ends_a_head_is_hung_up_on(shared_api, begun):
    """A stranger's connection is not kept for ever, whether it is silent or trickles."""
    with connected(shared_api) as connection:
        connection.sendall(begun)
        trickling = threading.Thread(target=_trickle, args=(connection,)) if begun else None
        if trickling is not None:
            trickling.start()
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            assert begun  # bytes that nobody read were on their way
        if trickling is not None:
            trickling.join()


def _trickle(connection: socket.socket) -> None:
    try:
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)
    except OSError:
        return
    pytest.fail("nobody hung up in ten seconds")


@pytest.mark.usefixtures("impatient")
def test_a_second_request_has_as_long_as_the_first(shared_api):
    """Keeping a connection alive is no way around the limit."""
    with connected(shared_api) as connection:
        connection.sendall(post())
        assert 200 == answer(connection)
        connection.sendall(HEAD)
        started = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.4 < time.monotonic() - started < 4


def test_a_request_may_take_longer_than_its_head(api, engine, monkeypatch):
    """The limit is for heads: whoever waits for a commit, or sends a body slowly, is not cut off by it."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 1.5)
    with connected(api) as connection, engine.connect() as blocker:
        connection.sendall(post()[:-10])
        time.sleep(1)
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        connection.sendall(post()[-10:])
        time.sleep(1)
        blocker.rollback()
        assert 200 == answer(connection)
    assert 1 == pending(engine)


@pytest.mark.parametrize("length", ["counted", "chunked"])
def test_an_offer_of_http_2_is_passed_over(shared_api, length):
    """Java's client makes one with its first request; neither that one's body nor the next request is lost."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    chunked = HEAD + offer + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connected(shared_api) as connection:
        connection.sendall(post(offer) if length == "counted" else chunked)
        assert 200 == answer(connection)
        connection.sendall(post())
        assert 200 == answer(connection)


@pytest.mark.parametrize("endless", [b"a", b"Xy: a\r\n"], ids=["one header", "many headers"])
def test_a_head_has_a_size(shared_api, endless):
    """400, and no more is read: a head is kept in memory before anybody asks for the token."""
    with connected(shared_api) as connection:
        try:
            connection.sendall(HEAD)
            for _ in range(20):
                connection.sendall(endless * (20_000 // len(endless)))
            received = connection.recv(65_536)
        except ConnectionError:
            return  # it hung up while we were sending
        assert re.match(rb"HTTP/1\.1 400 |$", received)


def test_a_process_takes_as_many_connections_as_it_may():
    """The soft limit of file descriptors is raised, and never lowered."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 1_024), before[1]))
        server.raise_connection_limit()
        assert (min(before[1], 65_536), before[1]) == resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
