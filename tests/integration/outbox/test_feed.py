"""The change feed: nothing skipped, nothing repeated, in commit order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg2
import pytest

from tests.ledger import ref
from worker import db, outbox
from worker.db import Engine, transaction
from worker.errors import CursorError
from worker.outbox import NewEntry


def append(engine: Engine, *keys: str) -> None:
    with transaction(engine) as connection:
        outbox.append(connection, [NewEntry(kind="enriched", ref=ref(key), etag=f"e-{key}") for key in keys])


def read(engine: Engine, after: str | None = None, limit: int = 100):
    with transaction(engine) as connection:
        return outbox.read(connection, after=after, limit=limit)


def test_changes_are_read_page_by_page(engine):
    """The last id of a page is the cursor of the next."""
    append(engine, "a", "b")
    append(engine, "c")
    first = read(engine, limit=2)
    rest = read(engine, after=first[-1].id)
    assert (["a", "b"], ["c"]) == ([c.key for c in first], [c.key for c in rest])
    assert [] == read(engine, after=rest[-1].id)


def test_a_change_is_not_shown_while_an_older_transaction_may_still_add_before_it(engine):
    """A reader that has seen the later commit will not miss the earlier one."""
    with engine.begin() as slow:
        outbox.append(slow, [NewEntry(kind="enriched", ref=ref("slow"), etag=None)])
        append(engine, "fast")
        assert [] == read(engine)
    assert ["slow", "fast"] == [change.key for change in read(engine)]


def test_a_reader_that_polls_during_writes_sees_each_change_once(engine):
    """Four writers, one poller: the poller's view is complete and without repeats."""
    names = [f"k{number}" for number in range(200)]

    def write(part: int) -> None:
        for name in names[part::4]:
            append(engine, name)

    seen: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(write, part) for part in range(4)]
        cursor = None
        while len(seen) < len(names):
            page = read(engine, after=cursor, limit=17)
            seen += [change.key for change in page]
            cursor = page[-1].id if page else cursor
            if not page and all(future.done() for future in futures) and not read(engine, after=cursor):
                break
    assert sorted(names) == sorted(seen)


@contextmanager
def open_transaction(engine: Engine, application: str, statement: str) -> Iterator[int]:
    """A session of anybody's that has written something and does not end; its process id."""
    connection = psycopg2.connect(
        engine.url.set(drivername="postgresql").render_as_string(hide_password=False), application_name=application
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            yield connection.get_backend_pid()
    finally:
        connection.close()


NOTED = "CREATE TABLE noted (what text)"


def test_a_stranger_that_wrote_last_is_not_named_as_who_holds_the_feed_back(engine):
    """Nothing has been committed since it got its number, so that is where the horizon is: nobody waits for it."""
    with open_transaction(engine, "psql", NOTED), transaction(engine) as connection:
        assert outbox.blocker(connection, longer=0) is None


def test_a_transaction_that_cannot_write_the_feed_does_not_hold_it_back(engine):
    """Somebody's session in the same database, with the same role, has written and never ends: changes appear."""
    with open_transaction(engine, "psql", NOTED):
        append(engine, "a")
        assert ["a"] == [change.key for change in read(engine)]
        with transaction(engine) as connection:
            assert outbox.end(connection) == read(engine)[-1].id
            assert outbox.blocker(connection, longer=0) is None


def test_a_transaction_in_another_database_does_not_hold_the_feed_back(engine, postgres):
    """Also one of ours: it has a feed of its own."""
    with postgres.fresh_database() as url:
        other = db.connect(url, name="worker", pool_size=1)
        with open_transaction(other, "enrich worker", NOTED):
            append(engine, "a")
            assert ["a"] == [change.key for change in read(engine)]
        other.dispose()


def test_whoever_holds_the_feed_back_is_named(engine):
    """A process of ours that is stuck in a transaction: which one, and since when."""
    with open_transaction(
        engine, "enrich worker", "INSERT INTO processes (name, kind, host) VALUES ('w', 'worker', 'h')"
    ) as pid:
        append(engine, "a")
        assert [] == read(engine)
        with transaction(engine) as connection:
            found = outbox.blocker(connection, longer=0)
            assert outbox.blocker(connection, longer=60) is None
        assert found is not None
        assert found.since is not None
        assert (pid, "enrich worker") == (found.pid, found.application)
        assert abs((datetime.now(UTC) - found.since).total_seconds()) < 60
    deadline = time.monotonic() + 10
    while [] == read(engine):  # the server has yet to notice that the session is gone
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ["a"] == [change.key for change in read(engine)]


def test_a_session_that_readers_do_not_wait_for_may_not_write_the_feed(engine):
    """Behind a pool that swallows its name, a worker would write what readers have passed already."""
    insert = "INSERT INTO changes (kind, bucket, key) VALUES ('enriched', 'b', 'k')"
    with (
        pytest.raises(psycopg2.errors.RaiseException, match="pass on application_name"),
        open_transaction(engine, "pool", insert),
    ):
        pass


def test_strangers_that_come_and_go_neither_hide_nor_hold_back_a_change(engine):
    """Writers of the feed among sessions that write something else: one poller misses nothing, and never waits long."""
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            with open_transaction(engine, "psql", "CREATE TEMP TABLE t (a int)"):
                time.sleep(0.002)

    def write(part: int) -> None:
        for number in range(part, 300, 3):
            append(engine, f"k{number}")

    seen: list[str] = []
    with ThreadPoolExecutor(5) as pool:
        noise = [pool.submit(disturb) for _ in range(2)]
        writing = [pool.submit(write, part) for part in range(3)]
        cursor, ended = None, False
        while not ended:
            ended = all(each.done() for each in writing)
            while page := read(engine, after=cursor, limit=7):
                seen += [change.key for change in page]
                cursor = page[-1].id
        stop.set()
        for each in (*noise, *writing):
            each.result(10)
    assert sorted(f"k{number}" for number in range(300)) == sorted(seen)


EPOCH = "00000000000000ff"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "1",
        "812-1",
        EPOCH,
        f"{EPOCH}-1-1",
        f"{EPOCH}-1-1-1-1",
        f"{EPOCH}-1--1",
        f"{EPOCH}-９-1-1",
        f"{EPOCH[1:]}-1-1-1",
        f"{EPOCH.upper()}-1-1-1",
        f"{EPOCH}-{1 << 64}-1-1",
        f"{EPOCH}-1-{1 << 63}-1",
        f"{EPOCH}-1-1-{10**17}",
        f"{EPOCH}-1-1-1\n",
    ],
)
def test_a_string_that_is_no_cursor_is_refused(engine, cursor):
    """A mistyped cursor is an error, not a full re-read."""
    with pytest.raises(CursorError, match="cursor"):
        read(engine, after=cursor)
