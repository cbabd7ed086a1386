"""How many connections there may be, and how the API's process begins, ends and is followed by the next."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.integration.api.live import TOKEN, record, serve
from tests.ledger import pending
from worker import db, metrics
from worker.api import connections, server
from worker.api.refusals import Refusals

BODY = json.dumps(record("a.jpg")).encode()
HEAD = f"POST /v1/events/s3 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
NOTIFICATION = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=90, source_address=(source, 0))


def status(connection: socket.socket) -> int:
    return int((connection.recv(65_536) or b"- 0").split()[1])


def refused(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("enrich_api_refusals_total", {"reason": reason}) or 0.0


def test_one_address_leaves_room_for_others(shared_api, monkeypatch):
    """Beyond its share it is told to come back, and others are served; what it closes it may open again."""
    monkeypatch.setattr(server, "_MOST_OF_ONE", 20)
    before = refused("connections")
    with serve(shared_api.services) as api, ExitStack() as open_ones, capture_logs() as logged:
        silent = [open_ones.enter_context(connect(api.port)) for _ in range(20)]
        for _ in range(10):
            with connect(api.port) as one_too_many:
                assert 503 == status(one_too_many)
        with connect(api.port, source="127.0.0.2") as other:
            other.sendall(ALIVE)
            assert 200 == status(other)
        silent.pop().close()
        time.sleep(0.2)
        with connect(api.port) as again:
            again.sendall(ALIVE)
            assert 200 == status(again)
    assert before + 10 == refused("connections")
    assert ["connections"] == [line["reason"] for line in logged if line["action"] == "refuse"]


def test_no_answer_waits_for_an_acknowledgement(shared_api, monkeypatch):
    """Neither at an address that we listen on nor on a socket that we were given."""
    seen: list[int] = []
    made = connections.Connection.connection_made

    def note(self, transport) -> None:
        made(self, transport)
        seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(connections.Connection, "connection_made", note)
    with serve(shared_api.services) as api, connect(api.port) as client:
        client.sendall(ALIVE)
        assert 200 == status(client)
    assert 1 == len(seen)
    assert seen[0]


def test_all_addresses_together_leave_files_for_the_database(shared_api, monkeypatch):
    """There are fewer connections than file descriptors, whoever they come from."""
    monkeypatch.setattr(server, "most_connections", lambda: 8)
    with serve(shared_api.services) as api, ExitStack() as open_ones:
        for number in range(8):
            open_ones.enter_context(connect(api.port, source=f"127.0.0.{number + 2}"))
        with connect(api.port, source="127.0.0.99") as one_too_many:
            assert 503 == status(one_too_many)


@pytest.mark.parametrize(
    ("address", "neighbour", "stranger"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%eth0", "fe80::2%eth0", "2001:db8::1"),
    ],
)
def test_an_address_is_what_one_host_has(address, neighbour, stranger):
    """Of IPv6 that is a network; an IPv4 address is one host in either notation."""
    refusals = Refusals()
    counted = connections.Connections(most=100, most_of_one=1, refusals=refusals)
    assert (True, False, True) == (counted.enter(address), counted.enter(neighbour), counted.enter(stranger))
    counted.leave(address)
    assert counted.enter(neighbour)


def test_a_request_may_take_longer_than_its_head(api, engine, monkeypatch):
    """The limit is for heads: whoever waits for a commit, or sends a body slowly, is not cut off by it."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.5)
    with connect(api.port) as connection, engine.connect() as blocker:
        connection.sendall(NOTIFICATION[:-10])
        time.sleep(1)
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        connection.sendall(NOTIFICATION[-10:])
        time.sleep(1)
        blocker.rollback()
        assert 200 == status(connection)
    assert 1 == pending(engine)


class _Abandoned(asyncio.Protocol):
    """Its client resets the connection at the very moment at which it is told to go."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        time.sleep(0.05)
        # Not from here: asyncio keeps quiet about what a protocol raises while it is handed data.
        asyncio.get_running_loop().call_soon(self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


def test_who_leaves_meanwhile_leaves_no_trace():
    """A client that resets its connection while it is answered is no error: strangers could fill the log with them."""
    errors: list[dict[str, Any]] = []

    async def meet() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        client = socket.socket()
        http = _Abandoned(client)
        counted = connections.Connections(most=1, most_of_one=1, refusals=Refusals())
        async with await loop.create_server(lambda: connections.Connection(http, counted, loop), "127.0.0.1", 0) as end:
            client.connect(end.sockets[0].getsockname())
            client.sendall(b"x")
            await asyncio.wait_for(http.lost, 10)
        assert counted.enter("127.0.0.1")

    asyncio.run(meet())
    assert [] == errors


def test_a_process_takes_as_many_files_as_it_may():
    """The soft limit of file descriptors is raised, and never lowered."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 1_024), before[1]))
        server.raise_connection_limit()
        assert (min(before[1], 65_536), before[1]) == resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# -- the process -------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres, migrated) -> Iterator[str]:
    with postgres.fresh_database(template=migrated) as url:
        yield url


def command(database: str, port: int, **more: str) -> dict[str, Any]:
    """``enrich api``, for ``subprocess``."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ENRICH_")}
    ours = {"ENRICH_DATABASE_URL": database, "ENRICH_API_PORT": str(port), "ENRICH_API_TOKEN": TOKEN, **more}
    return {"args": [sys.executable, "-P", "-m", "worker", "api"], "env": {**env, **ours}}


@contextmanager
def running(database: str, listener: socket.socket, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``enrich api`` on a socket that it inherits, as ``enrich up`` starts it."""
    given = command(database, listener.getsockname()[1])
    given["args"] += ["--fd", str(listener.fileno())]
    with log.open("ab") as output:
        process = subprocess.Popen(**given, pass_fds=[listener.fileno()], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_said_and_nothing_else(database):
    """Exit status 1 and a sentence: it never said that it was serving."""
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        port = holder.getsockname()[1]
        done = subprocess.run(**command(database, port), capture_output=True, text=True, timeout=120, check=False)
    assert 1 == done.returncode
    assert (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; stop the process that uses the port" in done.stderr
    )
    assert "serving" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_short_token_does_not_start(database):
    """Beyond loopback a token that can be guessed is refused, with a sentence that says how to make another."""
    given = command(database, 1, ENRICH_API_HOST="0.0.0.0", ENRICH_API_TOKEN="tooshort")
    done = subprocess.run(**given, capture_output=True, text=True, timeout=120, check=False)
    assert 1 == done.returncode
    assert "ENRICH_API_TOKEN has 8 characters" in done.stderr
    assert "openssl rand -hex 32" in done.stderr


def test_no_connection_is_lost_between_two_processes(database, tmp_path):
    """What was in flight at SIGTERM is answered, and what came after it by the process that inherits the socket."""
    engine = db.connect(database, name="test", pool_size=2)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listener:
        port = listener.getsockname()[1]
        with running(database, listener, tmp_path / "log") as first, connect(port) as idle, connect(port) as caught:
            idle.sendall(ALIVE)
            assert 200 == status(idle)
            with engine.connect() as blocker:
                blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
                caught.sendall(NOTIFICATION)
                time.sleep(0.5)
                first.send_signal(signal.SIGTERM)
                time.sleep(0.5)
                blocker.rollback()
            assert 200 == status(caught)
            first.wait(15)
        with connect(port) as early:
            early.sendall(NOTIFICATION)
            with running(database, listener, tmp_path / "log"):
                assert 200 == status(early)
    engine.dispose()


def test_no_descriptors_left_is_said_once(database, tmp_path):
    """Connections that cannot be accepted cost a line of log, not a megabyte a second; later ones are served."""
    log = tmp_path / "log"
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1_000)) as listener, ExitStack() as stack:
        process = stack.enter_context(running(database, listener, log))
        with connect(listener.getsockname()[1]) as first:
            first.sendall(ALIVE)
            assert 200 == status(first)
        system = psutil.Process(process.pid)
        before = system.rlimit(psutil.RLIMIT_NOFILE)
        used = [int(each.name) for each in Path(f"/proc/{process.pid}/fd").iterdir()]
        free = max(used) + 3 - len(used)
        system.rlimit(psutil.RLIMIT_NOFILE, (max(used) + 3, before[1]))
        waiting = [stack.enter_context(connect(listener.getsockname()[1])) for _ in range(free + 60)]
        deadline = time.monotonic() + 30
        while "descriptors" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(3)
        assert 1 == log.read_text().count("descriptors")
        assert log.stat().st_size < 10_000
        system.rlimit(psutil.RLIMIT_NOFILE, before)
        waiting[-1].sendall(ALIVE)
        assert 200 == status(waiting[-1])
