"""The API while something it needs is away, over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import text

from tests.examples import search_of
from tests.fakes import ColourEncoder
from tests.integration.api.live import record, serve
from tests.ledger import pending
from worker import db
from worker.db import Engine
from worker.errors import ModelUnavailableError
from worker.pipeline.reading.text_search import TextSearch


def execute(postgres, statement: str) -> None:
    """Run a statement as the superuser, in another database than the test's."""
    engine = db.connect(postgres.database_url, name="operator", pool_size=1)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def hang_up(postgres, engine: Engine) -> None:
    execute(
        postgres,
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{engine.url.database}'",
    )


@contextmanager
def away(postgres, engine: Engine) -> Iterator[None]:
    """The database takes no connections and drops those it has, as when it restarts."""
    execute(postgres, f"ALTER DATABASE {engine.url.database} ALLOW_CONNECTIONS false")
    hang_up(postgres, engine)
    try:
        yield
    finally:
        execute(postgres, f"ALTER DATABASE {engine.url.database} ALLOW_CONNECTIONS true")


REQUESTS: list[tuple[str, str, bytes | None]] = [
    ("POST", "/v1/events/s3", b"nonsense"),  # refused, but it cannot be kept either
    ("GET", "/v1/images/photos/a.jpg", None),
    ("POST", "/v1/search", b'{"text": "red"}'),
    ("GET", "/v1/explanations/photos/a.jpg", None),
    ("GET", "/v1/nearest-labels/photos/a.jpg", None),
    ("GET", "/v1/label-counts", None),
    ("GET", "/v1/changes", None),
    ("GET", "/v1/status", None),
]


def test_while_the_database_is_away(api, postgres, engine):
    """503 says when to come back, whatever was asked; afterwards everything goes on by itself."""
    before = [_status(api, *request) for request in REQUESTS]
    with away(postgres, engine):
        assert [_status(api, *request) for request in REQUESTS] == [503] * len(REQUESTS)
        answer = api.get("/v1/status")
        assert ("5", "the database is away; try again") == (answer.headers["retry-after"], answer.detail)
    assert [_status(api, *request) for request in REQUESTS] == before


def _status(api, method: str, path: str, body: bytes | None) -> int:
    answer = api.send(method, path, body, headers={"Content-Type": "application/json"})
    return int(answer.status)


def test_events_during_an_outage_are_not_acknowledged(api, postgres, engine):
    """Exactly those that were answered with 200 are in the ledger, also where the outage hits in the middle."""
    acknowledged: list[str] = []

    def send(number: int) -> None:
        key = f"{number}.jpg"
        if api.post("/v1/events/s3", record(key)).status == 200:
            acknowledged.append(key)

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(send, number) for number in range(300)]
        time.sleep(0.1)
        with away(postgres, engine):
            time.sleep(0.2)
        for future in futures:
            future.result()
    with engine.connect() as connection:
        kept = set(connection.execute(text("SELECT key FROM inbox")).scalars())
    assert set(acknowledged) <= kept
    assert len(acknowledged) < 300, "the outage hit nothing: the test shows nothing"
    assert 200 == api.post("/v1/events/s3", record("after.jpg")).status


def test_a_connection_that_dies_in_the_middle(api, postgres, engine):
    """A transaction that is waiting when the server ends it is a 503, and nothing of it is kept."""
    with ThreadPoolExecutor(1) as pool, engine.connect() as blocker:
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        waiting = pool.submit(api.post, "/v1/events/s3", record("a.jpg"))
        _wait_for_lock(postgres, engine)
        hang_up(postgres, engine)
        blocker.invalidate()
        assert 503 == waiting.result().status
    assert 0 == pending(engine)


def _wait_for_lock(postgres, engine: Engine) -> None:
    operator = db.connect(postgres.database_url, name="operator", pool_size=1)
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND wait_event_type = 'Lock'")
    deadline = time.monotonic() + 10
    try:
        with operator.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not connection.execute(waiting, {"name": engine.url.database}).scalar_one():
                assert time.monotonic() < deadline, "no request ever waited"
                time.sleep(0.01)
    finally:
        operator.dispose()


def test_probes_tell_the_two_apart(api, postgres, engine):
    """A database that is away makes the API unready, not dead; who asks learns no addresses."""
    ready = {"ready": True, "model": "tiny: a fake that sees colours", "database": "ok", "reason": None, "refused": []}
    assert (api.get("/readyz").status, api.get("/readyz").json) == (200, ready)
    with away(postgres, engine):
        assert 200 == api.get("/healthz").status
        time.sleep(1)  # for which an answer is good
        answer = api.get("/readyz", token=None)
        why = "the database is away: events are held, and then refused with 503"
        assert (answer.status, answer.json) == (503, ready | {"ready": False, "database": "away", "reason": why})
    time.sleep(1)
    assert 200 == api.get("/readyz").status


def test_a_database_that_hangs_is_not_ready(services):
    """A server that takes connections and says nothing: the probe answers within its own time, and so does healthz."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        engine = db.connect(f"postgresql://x@127.0.0.1:{mute.getsockname()[1]}/x", name="test")
        with serve(replace(services, engine=engine)) as api:
            started = time.monotonic()
            answer = api.get("/readyz")
            assert (503, "away") == (answer.status, answer.json["database"])
            assert time.monotonic() - started < 4.5
            assert 200 == api.get("/healthz").status
        engine.dispose()


def test_searches_that_wait_for_the_model_hold_up_nothing_else(services, engine):
    """While the model loads, any number of searches wait, and events are taken as quickly as ever."""
    loaded = threading.Event()

    def load() -> ColourEncoder:
        loaded.wait(30)
        return ColourEncoder()

    with serve(replace(services, search=TextSearch(engine, load))) as api, ThreadPoolExecutor(60) as pool:
        searches = [pool.submit(api.post, "/v1/search", {"text": "red"}) for _ in range(60)]
        time.sleep(0.3)
        started = time.monotonic()
        assert 200 == api.post("/v1/events/s3", record("a.jpg")).status
        assert 200 == api.get("/v1/status").status
        assert 200 == api.get("/readyz").status
        assert time.monotonic() - started < 2
        loaded.set()
        assert {200} == {search.result().status for search in searches}


def test_a_model_that_cannot_be_loaded(services, engine):
    """503 with the loader's own words; the next search tries again, and finds it once it is there."""
    attempts: list[int] = []

    def load() -> ColourEncoder:
        attempts.append(1)
        if len(attempts) == 1:
            raise ModelUnavailableError("no such model: set ENRICH_MODEL")
        return ColourEncoder()

    with serve(replace(services, find=search_of(engine, TextSearch(engine, load)))) as api:
        answer = api.post("/v1/search", {"text": "red"})
        assert (503, "no such model: set ENRICH_MODEL") == (answer.status, answer.detail)
        assert "30" == answer.headers["retry-after"]
        assert 200 == api.post("/v1/search", {"text": "red"}).status


def test_work_that_takes_too_long_is_answered(services, engine):
    """A caller waits so long and no longer; what is being written goes on, and is safe to repeat."""

    with serve(services) as api, engine.connect() as blocker:
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        for body in (record("small.jpg"), record("k" * 900 + ".jpg") | {"padding": " " * 20_000}):
            api.app.state.parts.intake._patience = 0.1
            answer = api.post("/v1/events/s3", body)
            assert (503, "5") == (answer.status, answer.headers["retry-after"])
            assert "no answer in 0.1 seconds; try again" == answer.detail
        blocker.rollback()
        api.app.state.parts.intake._patience = 10
        assert 200 == api.post("/v1/events/s3", record("small.jpg")).status
    assert 1 == pending(engine)
