"""Roles without the owner's rights: what a worker and a reader may do, and what they may not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tests.acceptance.commands import ENRICH
from tests.factories import DIMENSION, enriched_image, spec
from tests.servers import RunningServers
from worker import catalog, db, outbox
from worker.catalog import roles
from worker.db import Engine, transaction
from worker.errors import ConfigurationError
from worker.outbox import NewEntry

VECTOR = np.eye(1, DIMENSION, dtype=np.float32)[0]


@dataclass(frozen=True)
class Roles:
    """A database whose owner is no superuser, and engines of its roles."""

    postgres: RunningServers
    owner_url: str
    owner: Engine
    worker: Engine
    reader: Engine
    names: dict[str, str]


def as_role(url: str, name: str) -> str:
    return make_url(url).set(username=name, password=name).render_as_string(hide_password=False)


@pytest.fixture
def database(postgres: RunningServers) -> Iterator[Roles]:
    """Made as docs/how-to/deployment.md says: by an administrator, who is needed once, for roles and the extension."""
    with postgres.fresh_database() as url:
        number = make_url(url).database
        names = {role: f"{role}_{number}" for role in ("owner", "worker", "reader")}
        admin = db.connect(url, name="admin", pool_size=1)
        with transaction(admin) as connection:
            for name in names.values():
                connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'"))
            connection.execute(text(f"ALTER DATABASE {number} OWNER TO {names['owner']}"))
        engines = {role: db.connect(as_role(url, name), name=role, pool_size=2) for role, name in names.items()}
        yield Roles(postgres, as_role(url, names["owner"]), **engines, names=names)
        for engine in engines.values():
            engine.dispose()
        with transaction(admin) as connection:
            for name in (names["worker"], names["reader"], names["owner"]):
                connection.execute(text(f"DROP OWNED BY {name} CASCADE"))
            connection.execute(text(f"ALTER DATABASE {number} OWNER TO enrich"))
            for name in names.values():
                connection.execute(text(f"DROP ROLE {name}"))
        admin.dispose()


def enrich(database: Roles, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"ENRICH_DATABASE_URL": database.owner_url, "PATH": "/usr/bin:/bin"}
    return subprocess.run([ENRICH, *arguments], env=environment, capture_output=True, text=True, check=False, cwd="/")


def migrated(database: Roles) -> Roles:
    names = database.names
    done = enrich(database, "migrate", "--worker", names["worker"], "--reader", names["reader"])
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    return database


def an_image(database: Roles) -> None:
    with transaction(database.worker) as connection:
        space = catalog.spaces.ensure(connection, spec())
        image = enriched_image("a.jpg", label="day", vector=VECTOR)
        catalog.write.save_images(connection, space_id=space.id, images=[image])
        outbox.append(connection, [NewEntry(kind="enriched", ref=image.info.ref, etag="e")])


def denied(engine: Engine, statement: str) -> bool:
    """Whether a statement is refused for want of a right, and not for anything else."""
    try:
        with transaction(engine) as connection:
            connection.execute(text(statement))
    except DBAPIError as error:
        if not db.is_forbidden(error):
            raise
        return True
    return False


RELATIONS = text("""
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND (
          d.deptype = 'e' OR (d.deptype = 'i' AND c.relkind = 'S')))
""")


def test_a_worker_makes_the_first_space_and_its_index_and_no_other_table(database):
    """Everything that the long-running processes write: images, vectors, the feed; and nothing else can be made."""
    migrated(database)
    an_image(database)
    with transaction(database.worker) as connection:
        assert catalog.partitions.has_index(connection, 1)
        space = catalog.spaces.active(connection)
        assert space is not None
        catalog.label_vectors.index_labels(connection, space)
        owner = text("SELECT tableowner FROM pg_tables WHERE tablename = 'embeddings_1'")
        assert database.names["owner"] == connection.execute(owner).scalar_one()
    for statement in (
        "CREATE TABLE mine (id int)", "DROP TABLE inbox", "ALTER TABLE inbox ADD COLUMN mine int", "TRUNCATE inbox",
        "DROP VIEW image_tags", "UPDATE alembic_version SET version_num = 'x'",
        "COPY inbox TO PROGRAM 'true'", "SELECT pg_read_file('/etc/passwd')", "CREATE ROLE another",
    ):  # fmt: skip
        assert denied(database.worker, statement), statement


def test_a_reader_reads_the_views_and_the_feed_and_nothing_else(database):
    """Every relation is tried; what is no view is refused, and so is writing into a view."""
    migrated(database)
    an_image(database)
    with transaction(database.owner) as connection:
        relations = set(connection.execute(RELATIONS).scalars())
    readable = {name for name in relations if not denied(database.reader, f'SELECT FROM "{name}"')}
    assert {"enriched_images", "image_tags", "image_vectors", "label_vectors_in_use", "changes", "feed"} == readable
    with transaction(database.reader) as connection:
        assert "a.jpg" == connection.execute(text("SELECT key FROM enriched_images")).scalar_one()
        nearest = text(f"SELECT key FROM search_images(CAST(:vector AS halfvec({DIMENSION})))")
        vector = str(VECTOR.tolist())
        assert "a.jpg" == connection.execute(nearest, {"vector": vector}).scalar_one()
        assert 1 == len(outbox.read(connection, after=None, limit=10))
    with database.owner.connect() as strange, transaction(database.reader) as connection:
        strange.execute(text("SET application_name = 'psql'"))
        strange.execute(text("CREATE TABLE noted (what text)"))
        an_image(database)  # while somebody else's transaction is open, whose particulars a reader is not told
        assert 2 == len(outbox.read(connection, after=None, limit=10))
    for statement in (
        "DELETE FROM enriched_images", "UPDATE enriched_images SET key = 'x'", "INSERT INTO changes DEFAULT VALUES",
        "CREATE TABLE mine (id int)", "SELECT make_partition(1)", "SELECT make_label_index(1)",
        "SELECT nextval('inbox_token_seq')",
    ):  # fmt: skip
        assert denied(database.reader, statement), statement


@pytest.mark.parametrize(
    ("shadowed", "call"),
    [
        ("spaces", f"SELECT FROM search_images('{[1.0] * DIMENSION}'::halfvec)"),
        ("pg_database", "SELECT feed_epoch()"),
    ],
)
def test_a_readers_own_views_are_not_evaluated_with_the_owners_rights(database, shadowed, call):
    """A temporary view that has the name of a table of ours would be found first: a function in it would be root."""
    migrated(database)
    an_image(database)
    with database.reader.connect() as connection:
        connection.execute(text(
            "CREATE FUNCTION pg_temp.who() RETURNS text LANGUAGE plpgsql VOLATILE AS "
            "$$ BEGIN RAISE 'evaluated as %', current_user; END $$"
        ))  # fmt: skip
        columns = "1 AS id, 'active' AS state, 4 AS dimension, 'm' AS model, 1 AS oid, current_database() AS datname"
        connection.execute(
            text(f"CREATE VIEW pg_temp.{shadowed} AS SELECT {columns}, pg_temp.who() WHERE pg_temp.who() <> ''")
        )
        connection.execute(text(call))


def test_who_may_add_tags_and_read_images_can_decide_about_them(database):
    """A reviewer's role: the tag is bound to the image's bytes without a right to change images, or to read history."""
    migrated(database)
    an_image(database)
    reader = database.names["reader"]
    with transaction(database.owner) as connection:
        connection.execute(text(f"GRANT SELECT ON images TO {reader}; GRANT INSERT ON tags TO {reader}"))
    with transaction(database.reader) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT image_id, 'time-of-day', 'v', 'night', 'human' FROM enriched_images"
            )
        )
    an_image(database)
    with transaction(database.reader) as connection:
        assert "night" == connection.execute(text("SELECT label FROM image_tags")).scalar_one()
    with transaction(database.owner) as connection:
        connection.execute(text("UPDATE images SET sha256 = '\\x00'"))
    an_image(database)
    with transaction(database.reader) as connection:
        assert "night" == connection.execute(text("SELECT label FROM image_tags")).scalar_one()
    for statement in (
        "SELECT FROM decisions", "UPDATE images SET sha256 = '\\x00'", "SELECT decide_by_hand()",
        "SELECT project_decisions('{1}')", "SELECT FROM decided_tags('{}', '{}')", "SELECT note_bytes_seen()",
    ):  # fmt: skip
        assert denied(database.reader, statement), statement


def test_roles_keep_up_with_migrations(database):
    """They are named once: what a later migration makes, the next `enrich migrate` gives them as well."""
    migrated(database)
    with transaction(database.owner) as connection:
        connection.execute(text(f"REVOKE ALL ON images FROM {database.names['worker']}"))
        connection.execute(text(f"REVOKE ALL ON image_tags FROM {database.names['reader']}"))
    assert denied(database.worker, "SELECT FROM images")
    assert 0 == enrich(database, "migrate").returncode
    assert not denied(database.worker, "SELECT FROM images")
    assert not denied(database.reader, "SELECT FROM image_tags")
    assert denied(database.reader, "SELECT FROM images")


def test_every_table_of_ours_is_a_workers(database):
    """A migration that adds one and forgets it here would stop workers that are no owners."""
    migrated(database)
    with transaction(database.owner) as connection:
        relations = set(connection.execute(RELATIONS).scalars())
    given = set(roles._RELATIONS["worker"]) | set(roles._SEQUENCES["worker"])
    assert given == relations


@pytest.mark.parametrize(
    ("name", "said"),
    [("nobody", "there is no role 'nobody'"), ("enrich", "is a superuser"), ("owner", "the tables' owner")],
)
def test_a_role_that_cannot_be_narrowed_is_refused(database, name, said):
    """Unknown ones with the command that makes them, superusers and the owner as what they are."""
    migrated(database)
    with transaction(database.owner) as connection, pytest.raises(ConfigurationError, match=said):
        catalog.roles.grant(connection, "worker", database.names.get(name, name))


def test_what_only_the_owner_may_do_is_said_in_a_sentence(database):
    """`enrich migrate` as a worker's role names the role that is needed."""
    migrated(database)
    with transaction(database.owner) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))
    environment = {
        "ENRICH_DATABASE_URL": as_role(database.owner_url, database.names["worker"]),
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run([ENRICH, "migrate"], env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert 1 == done.returncode
    assert "Traceback" not in done.stderr
    assert "may not create tables" in done.stderr or "the role that owns the tables" in done.stderr
