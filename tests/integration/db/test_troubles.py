"""What a real PostgreSQL's errors mean: away, busy, or our mistake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from worker import db
from worker.db import Connection, Engine, Trouble, transaction


def run(engine: Engine, *statements: str) -> None:
    with transaction(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))


def met(action: Callable[[], object]) -> Trouble | None:
    """What the error of ``action`` says."""
    with pytest.raises((DBAPIError, PoolTimeoutError)) as error:
        action()
    assert db.is_unavailable(error.value) is (db.trouble(error.value) is Trouble.AWAY)
    return db.trouble(error.value)


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


@contextmanager
def another(engine: Engine, **options: int) -> Iterator[Engine]:
    other = db.connect(url_of(engine), name="other", **options)
    yield other
    other.dispose()


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1 / 0", "SELECT nothing", "SELEKT", "SELECT CAST('x' AS int)", "INSERT INTO inbox (bucket) VALUES ('b')"],
)
def test_a_wrong_statement_is_our_mistake(engine, statement):
    """No waiting mends it."""
    assert met(lambda: run(engine, statement)) is Trouble.OURS


def test_a_statement_that_takes_too_long_is_no_outage(engine):
    """Given back for ever, it would take too long for ever."""
    assert met(lambda: run(engine, "SET LOCAL statement_timeout = 20", "SELECT pg_sleep(5)")) is Trouble.BUSY


def test_a_lock_that_cannot_be_had_is_no_outage(engine):
    """Somebody else holds it; their transaction ends some time."""
    with transaction(engine) as holder:
        holder.execute(text("LOCK TABLE inbox"))
        assert met(lambda: run(engine, "SET LOCAL lock_timeout = 20", "SELECT FROM inbox")) is Trouble.BUSY


def deadlock(engine: Engine, after: Callable[[Connection], None] = lambda _: None) -> list[Exception | None]:
    """Two transactions lock two tables in opposite order; what each raised."""
    both = threading.Barrier(2)

    def lock(first: str, second: str) -> Exception | None:
        try:
            with transaction(engine) as connection:
                connection.execute(text("SET LOCAL deadlock_timeout = 20"))
                connection.execute(text(f"LOCK TABLE {first}"))
                both.wait(5)
                connection.execute(text(f"LOCK TABLE {second}"))
                after(connection)
        except DBAPIError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lock, ("inbox", "changes"), ("changes", "inbox")))


def test_the_loser_of_a_deadlock_may_try_again(engine):
    """It was rolled back so that the other could go on."""
    [loser] = [each for each in deadlock(engine) if each is not None]
    assert db.trouble(loser) is Trouble.BUSY


def test_a_serialisation_failure_may_be_tried_again(engine):
    """What was read has changed since."""
    serializable = engine.execution_options(isolation_level="REPEATABLE READ")
    run(engine, "INSERT INTO inbox (bucket, key, source) VALUES ('b', 'k', 's')")

    def overtaken() -> None:
        with serializable.begin() as connection:
            connection.execute(text("SELECT FROM inbox"))
            run(engine, "UPDATE inbox SET source = 't'")
            connection.execute(text("UPDATE inbox SET source = 'u'"))

    assert met(overtaken) is Trouble.BUSY


def test_a_connection_that_an_administrator_ended_is_an_outage(engine):
    """As when the server shuts down: nothing was wrong with the statement."""

    def ended() -> None:
        with transaction(engine) as connection:
            own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            run(engine, f"SELECT pg_terminate_backend({own})")
            connection.execute(text("SELECT 1"))

    assert met(ended) is Trouble.AWAY


def test_a_server_that_is_not_there_is_an_outage():
    """Nothing answered, so there is no code to go by."""
    nowhere = db.connect("postgresql://nobody@127.0.0.1:1/nothing", name="test")
    assert met(lambda: run(nowhere, "SELECT 1")) is Trouble.AWAY


def test_a_server_without_a_connection_to_spare_is_an_outage(engine):
    """It will have one again; no image is to blame."""
    run(engine, "DROP ROLE IF EXISTS crowd", "CREATE ROLE crowd LOGIN CONNECTION LIMIT 0 PASSWORD 'crowd'")
    crowd = db.connect(
        engine.url.set(username="crowd", password="crowd").render_as_string(hide_password=False), name="crowd"
    )
    assert met(lambda: run(crowd, "SELECT 1")) is Trouble.AWAY
    assert "too many connections" in (db.problem(crowd) or "")
    run(engine, "DROP ROLE crowd")


def test_a_pool_that_is_used_up_is_an_outage(engine, monkeypatch):
    """All connections wait for a server that does not answer."""
    with another(engine, pool_size=1) as narrow:
        monkeypatch.setattr(narrow.pool, "_timeout", 0.05)
        with narrow.connect(), narrow.connect():
            assert met(narrow.connect) is Trouble.AWAY


def test_a_server_that_became_a_standby_is_an_outage_and_its_connections_are_dropped(engine):
    """After a failover the pool still leads to the old server, which refuses to write; a new connection need not."""
    with another(engine) as ours:
        run(ours, "SET default_transaction_read_only = on")  # as on a standby, for this one connection
        assert met(lambda: run(ours, "INSERT INTO inbox (bucket, key, source) VALUES ('b', 'k', 's')")) is Trouble.AWAY
        run(ours, "INSERT INTO inbox (bucket, key, source) VALUES ('b', 'k', 's')")


def test_other_errors_are_none_of_the_databases():
    """A bug is not blamed on the server."""
    assert (None, False) == (db.trouble(ValueError("x")), db.is_unavailable(ValueError("x")))


class TestAgain:
    """Transactions that were in somebody's way are run again, for a while."""

    def test_a_transaction_that_lost_a_deadlock_succeeds_the_next_time(self, engine):
        """The work is done once, after being tried twice."""
        errors: list[Exception | None] = [*deadlock(engine)]

        def transact() -> str:
            error = errors.pop() if errors else None
            if error is not None:
                raise error
            return "done"

        assert "done" == db.again(transact, pause=0.001)

    def test_one_that_never_succeeds_fails(self, engine):
        """So that its attempts are counted, and it is not tried for ever."""
        tries: list[None] = []

        def slow() -> None:
            tries.append(None)
            run(engine, "SET LOCAL statement_timeout = 10", "SELECT pg_sleep(1)")

        assert met(lambda: db.again(slow, tries=3, pause=0.001)) is Trouble.BUSY
        assert 3 == len(tries)

    def test_our_mistakes_are_not_repeated(self, engine):
        """They fail at once, and loudly."""
        tries: list[None] = []

        def wrong() -> None:
            tries.append(None)
            run(engine, "SELECT 1 / 0")

        assert met(lambda: db.again(wrong)) is Trouble.OURS
        assert 1 == len(tries)
