"""Migrations: forward, twice, from two places at once, and never against a schema of another version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from worker import catalog, db
from worker.errors import SchemaVersionError


def test_an_empty_database_is_refused_with_the_command_to_run(empty_engine):
    """A process never starts against tables that are not there."""
    with pytest.raises(SchemaVersionError, match="run `enrich migrate`"):
        catalog.require_current(empty_engine)


def test_migrating_twice_is_migrating_once(empty_engine):
    """Every deploy may run it."""
    assert (None, catalog.head()) == catalog.migrate(empty_engine)
    assert (catalog.head(), catalog.head()) == catalog.migrate(empty_engine)
    catalog.require_current(empty_engine)


def test_two_migrations_at_once_wait_for_each_other(empty_engine):
    """Two replicas starting together do not fail half-way."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: catalog.migrate(empty_engine), range(2)))
    assert {(None, catalog.head()), (catalog.head(), catalog.head())} == set(results)


@pytest.mark.parametrize("action", [catalog.require_current, catalog.migrate])
def test_a_newer_database_stops_an_older_release(engine, action):
    """Rolling back the code does not silently run against tomorrow's tables."""
    with db.transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaVersionError, match="newer release"):
        action(engine)


def test_down_and_up_again_leaves_the_same_schema(empty_engine):
    """Each migration can be taken back."""
    from alembic import command

    from worker.catalog.schema import _config

    catalog.migrate(empty_engine)
    with db.transaction(empty_engine) as connection:
        before = tables(connection)
        command.downgrade(_config(connection), "base")
        assert tables(connection) == ["alembic_version"]
        command.upgrade(_config(connection), "head")
        assert before == tables(connection)


def tables(connection: db.Connection) -> list[str]:
    rows = connection.execute(text("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'S') "
                                   "AND relnamespace = 'public'::regnamespace ORDER BY 1"))  # fmt: skip
    return [name for name in rows.scalars() if not name.startswith("pg_")]
