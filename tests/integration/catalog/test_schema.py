"""Migrations: forward, twice, from two places at once, and never against a schema of another version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from worker import catalog, db
from worker.errors import SchemaVersionError


def test_an_empty_database_is_refused_with_the_command_to_run(empty_engine):
    """A process never starts against tables that are not there."""
    with pytest.raises(SchemaVersionError, match="run `enrich migrate`"):
        catalog.schema.require_current(empty_engine)


def test_migrating_twice_is_migrating_once(empty_engine):
    """Every deploy may run it."""
    assert (None, catalog.schema.latest_version()) == catalog.schema.migrate(empty_engine)
    assert (catalog.schema.latest_version(), catalog.schema.latest_version()) == catalog.schema.migrate(empty_engine)
    catalog.schema.require_current(empty_engine)


def test_two_migrations_at_once_wait_for_each_other(empty_engine):
    """Two replicas starting together do not fail half-way."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: catalog.schema.migrate(empty_engine), range(2)))
    assert {
        (None, catalog.schema.latest_version()),
        (catalog.schema.latest_version(), catalog.schema.latest_version()),
    } == set(results)


@pytest.mark.parametrize("action", [catalog.schema.require_current, catalog.schema.migrate])
def test_a_newer_database_stops_an_older_release(engine, action):
    """Rolling back the code does not silently run against tomorrow's tables."""
    with db.transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaVersionError, match="newer release"):
        action(engine)


def test_the_newest_revision_is_the_end_of_alembics_chain():
    """It is read off the names of the files, so that nobody who only asks imports Alembic."""
    from alembic.script import ScriptDirectory

    from worker.catalog.schema import _config, _revisions

    script = ScriptDirectory.from_config(_config())
    assert script.get_current_head() == catalog.schema.latest_version()
    assert {each.revision for each in script.walk_revisions()} == _revisions()


def test_down_and_up_again_leaves_the_same_schema(empty_engine):
    """Each migration can be taken back."""
    from alembic import command

    from worker.catalog.schema import _config

    catalog.schema.migrate(empty_engine)
    with db.transaction(empty_engine) as connection:
        before = tables(connection)
        command.downgrade(_config(connection), "base")
        assert ["alembic_version"] == tables(connection)
        command.upgrade(_config(connection), "head")
        assert before == tables(connection)


def tables(connection: db.Connection) -> list[str]:
    rows = connection.execute(text("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'S') "
                                   "AND relnamespace = 'public'::regnamespace ORDER BY 1"))  # fmt: skip
    return [name for name in rows.scalars() if not name.startswith("pg_")]


def valid_indexes(engine: db.Engine) -> set[str]:
    with db.transaction(engine) as connection:
        rows = connection.execute(text("SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid"))
        return set(rows.scalars())


@pytest.mark.parametrize(
    "damage",
    ["DROP INDEX images_enriched_at",
     "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'images_enriched_at'::regclass"],
)  # fmt: skip
def test_an_index_that_was_not_finished_is_built_again(empty_engine, damage):
    """A migration that was killed while it built leaves half an index, which nobody would use."""
    catalog.schema.migrate(empty_engine)
    assert "images_enriched_at" in valid_indexes(empty_engine)
    with db.transaction(empty_engine) as connection:
        connection.execute(text(damage))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: catalog.schema.migrate(empty_engine), range(3)))
    assert "images_enriched_at" in valid_indexes(empty_engine)


def test_an_index_is_built_while_others_write(engine):
    """The build waits for a transaction that writes; what comes behind does not wait for the build."""
    row = (
        "INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash, "
        "hinted_at) VALUES ('b', :key, 'e', 1, 1, 1, 'PNG', 'RGB', 1, 1, '\\x00', 1, now())"
    )
    with db.transaction(engine) as connection:
        connection.execute(text("DROP INDEX images_enriched_at"))
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as slow:
            slow.execute(text(row), {"key": "slow"})
            building = pool.submit(catalog.schema.migrate, engine)
            until_a_build_waits(engine)
            with engine.begin() as quick:
                quick.execute(text("SET LOCAL lock_timeout = '1s'"))
                quick.execute(text(row), {"key": "quick"})
            assert not building.done()
        building.result(30)
    assert "images_enriched_at" in valid_indexes(engine)


def until_a_build_waits(engine: db.Engine) -> None:
    waits = "SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with db.transaction(engine) as connection:
            if connection.execute(text(f"SELECT EXISTS ({waits})")).scalar_one():
                return
        time.sleep(0.02)
    raise AssertionError("nothing is being built")


@pytest.fixture
def plain_user(empty_engine) -> Iterator[db.Engine]:
    """The empty database as somebody sees it who owns nothing in it."""
    with db.transaction(empty_engine) as connection:
        connection.execute(text("CREATE ROLE plain LOGIN PASSWORD 'p'"))
    plain = db.connect(empty_engine.url.set(username="plain", password="p").render_as_string(False), name="test")
    yield plain
    plain.dispose()
    with db.transaction(empty_engine) as connection:
        connection.execute(text("DROP OWNED BY plain"))
        connection.execute(text("DROP ROLE plain"))


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        ("DROP EXTENSION vector", "have a superuser run `CREATE EXTENSION vector`"),
        ("SELECT 1", "GRANT CREATE ON SCHEMA public TO plain"),
    ],
)
def test_missing_rights_are_named_with_the_statement_that_grants_them(empty_engine, plain_user, preparation, message):
    """A plain user learns what to ask the DBA for, and nothing is half done."""
    with db.transaction(empty_engine) as connection:
        connection.execute(text(preparation))
    with pytest.raises(SchemaVersionError, match=message):
        catalog.schema.migrate(plain_user)
    with db.transaction(empty_engine) as connection:
        assert [] == tables(connection)


def test_a_plain_user_with_the_named_rights_can_migrate(empty_engine, plain_user):
    """No superuser is needed once pgvector is there."""
    with db.transaction(empty_engine) as connection:
        connection.execute(text("GRANT CREATE ON SCHEMA public TO plain"))
    assert (None, catalog.schema.latest_version()) == catalog.schema.migrate(plain_user)


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        ("CREATE SCHEMA ext; ALTER EXTENSION vector SET SCHEMA ext", "SET search_path = public, ext"),
        ("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'", "ALTER EXTENSION vector UPDATE"),
    ],
)
def test_a_pgvector_that_cannot_be_used_is_named_with_the_way_out(empty_engine, preparation, message):
    """What counts is the extension in this database, not the newest one that the server could install."""
    with db.transaction(empty_engine) as connection:
        connection.execute(text(preparation))
    with pytest.raises(SchemaVersionError, match=message):
        catalog.schema.migrate(empty_engine)


def test_a_migration_may_take_longer_than_a_workers_statements(empty_engine, monkeypatch):
    """The second of two migrations waits for the first however long it takes."""
    monkeypatch.setattr(db, "_STATEMENT_TIMEOUT_MS", 150)
    monkeypatch.setattr(db, "_LOCK_TIMEOUT_MS", 100)
    impatient = db.connect(empty_engine.url.render_as_string(False), name="test")
    with ThreadPoolExecutor(1) as pool:
        with db.transaction(empty_engine) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": catalog.schema._MIGRATION_LOCK})
            waiting = pool.submit(catalog.schema.migrate, impatient)
            time.sleep(0.5)
        assert (None, catalog.schema.latest_version()) == waiting.result(30)
    impatient.dispose()
