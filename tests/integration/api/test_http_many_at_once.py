"""Many senders at once over real HTTP, on a real PostgreSQL: they share commits, and none waits for rude ones."""

from __future__ import annotations

import json
import re
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from sqlalchemy import event, text
from structlog.testing import capture_logs

from tests.integration.api.live import TOKEN, LiveApi, record
from tests.ledger import pending
from tests.waiting import until
from worker import metrics

MANY = 200


def request(key: str) -> bytes:
    body = json.dumps(record(key)).encode()
    head = f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def statuses(connection: socket.socket, count: int) -> list[int]:
    """Of so many answers on one connection; fewer if it ends."""
    received = b""
    while received.count(b'"test":false}') < count and (data := connection.recv(65_536)):
        received += data
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", received)]


@contextmanager
def all_waiting(api: LiveApi, senders: Sequence[socket.socket]) -> Iterator[None]:
    """Each has sent a notification; the first one's transaction is held up, and all others wait behind it."""
    with api.services.engine.connect() as blocker:
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        senders[0].sendall(request("0.jpg"))
        until(lambda: blocker.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())
        for number, sender in enumerate(senders[1:], start=1):
            sender.sendall(request(f"{number}.jpg"))
        until(lambda: len(api.services.ingest._write_hints._waiting) == len(senders) - 1)
        yield
        blocker.rollback()


def connections(stack: ExitStack, port: int, count: int) -> list[socket.socket]:
    return [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(count)]


def counted() -> float:
    return metrics.REGISTRY.get_sample_value("enrich_hints_total", {"source": "s3"}) or 0.0


def test_requests_in_flight_share_commits(api, engine, wake_up):
    """Whoever waits while one is written shares the next one, and nobody is answered, counted or rung for before it."""
    commits: list[object] = []
    with ExitStack() as stack:
        senders, before = connections(stack, api.port, MANY), counted()
        with all_waiting(api, senders):
            event.listen(engine, "commit", commits.append)
            answered = select.select(senders, [], [], 0.1)[0]
            assert ([], False, 0) == (answered, wake_up.rung.is_set(), counted() - before)
        assert [[200]] * MANY == [statuses(sender, 1) for sender in senders]
    assert 2 == len(commits)
    assert wake_up.rung.wait(5)
    assert (MANY, MANY) == (pending(engine), counted() - before)


def test_one_that_cannot_be_stored_costs_the_others_nothing(api, engine):
    """A row that the database refuses is an error of the request that brought it, whoever shared its transaction."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE inbox ADD CONSTRAINT picky CHECK (key <> '7.jpg')"))
    with ExitStack() as stack:
        stack.enter_context(capture_logs())  # a traceback drawn in colours takes a second
        senders = connections(stack, api.port, 20)
        with all_waiting(api, senders):
            seven = senders[7]
        assert [[200]] * 19 == [statuses(sender, 1) for sender in senders if sender is not seven]
        assert seven.recv(65_536).startswith(b"HTTP/1.1 500")
    assert 19 == pending(engine)


def test_a_sender_that_never_reads_holds_up_nobody(api, engine):
    """Its answers wait in its connection; others get theirs at once, and what it sent is in the ledger all the same."""
    with ExitStack() as stack:
        [rude] = connections(stack, api.port, 1)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        rude.sendall(b"".join(request(f"rude/{number}.jpg") for number in range(MANY)))
        assert 200 == api.post("/v1/events/s3", record("polite.jpg")).status
        assert [200] * MANY == statuses(rude, MANY)
    assert 1 + MANY == pending(engine)


def test_small_and_large_notifications_are_answered_alike(api, engine):
    """Whether a body is parsed at once or on a thread of its own is nothing that a sender can see."""
    answers = [
        api.send("POST", "/v1/events/s3", json.dumps(record(f"{size}.jpg")).encode() + b" " * size)
        for size in (0, 16 << 10, 90_000)
    ]
    assert [(200, {"hinted": 1, "ignored": {}, "test": False})] * 3 == [(each.status, each.json) for each in answers]
    assert 1 == len({each.headers["content-type"] for each in answers})
    assert 3 == pending(engine)
