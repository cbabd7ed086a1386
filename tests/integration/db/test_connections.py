"""Connections to PostgreSQL: what a URL may say, and what becomes of a process that stops inside a transaction."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ledger import expire_leases, hints, row
from worker import db, ledger
from worker.ledger.completion import Completion
from worker.types import Outcome


def url_of(engine: db.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def setting(engine: db.Engine, name: str) -> str:
    with db.transaction(engine) as connection:
        return str(connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())


def test_options_of_the_url_are_kept(empty_engine):
    """A schema of one's own is chosen in the URL, beside our own settings."""
    chosen = db.connect(f"{url_of(empty_engine)}?options=-csearch_path%3Down", name="test")
    assert ("own", "1min", "UTC") == tuple(setting(chosen, n) for n in ("search_path", "statement_timeout", "TimeZone"))
    chosen.dispose()


def test_a_process_that_stops_inside_a_transaction_holds_its_rows_for_a_while_only(engine, monkeypatch):
    """A worker is frozen, or its machine lost, while it writes: its objects come free, and its write is refused."""
    monkeypatch.setattr(db, "_IDLE_IN_TRANSACTION_TIMEOUT_MS", 100)
    frozen = db.connect(url_of(engine), name="frozen")
    with db.transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a"))
        taken = ledger.claims.claim(connection, worker="frozen", size=1, lease=60)
    assert taken is not None
    connection = frozen.connect()
    ledger.completion.lock(connection, taken.token, [taken.objects[0].id])
    time.sleep(0.5)
    expire_leases(engine)
    with db.transaction(engine) as other:
        assert ledger.claims.claim(other, worker="other", size=1, lease=60) is not None
    with pytest.raises(DBAPIError) as error:
        ledger.completion.complete(
            connection, taken.token, [Completion(id=taken.objects[0].id, outcome=Outcome.ENRICHED)]
        )
    assert db.is_unavailable(error.value)
    assert ("other", None, 1) == tuple(getattr(row(engine, "a"), name) for name in ("worker", "outcome", "deaths"))
    connection.close()
    frozen.dispose()


def test_errors_do_not_quote_what_was_written(engine):
    """Errors are logged and kept beside the object: with the statement, without thousands of keys."""
    with pytest.raises(DBAPIError) as error, db.transaction(engine) as connection:
        connection.execute(text("SELECT 1 / 0, :secret"), {"secret": "a private key"})
    assert "a private key" not in str(error.value)
