"""The schema's version: migrate it, or fail with the command that does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from worker.catalog import indexes, roles
from worker.db import Connection, Engine, again, transaction
from worker.errors import SchemaVersionError

if TYPE_CHECKING:
    from alembic.config import Config

#: Session advisory lock: two `enrich migrate` at once wait for each other instead of failing half-way.
_MIGRATION_LOCK = 0x656E7269
_MINIMUM_PGVECTOR = (0, 8)

# Waiting for another migration, and rewriting a large table, may take longer than a worker's statements may. Waiting
# for a table may not: whoever comes behind us in its queue waits, too.
_TAKE_YOUR_TIME = text("SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)")
_BUT_HOLD_UP_NOBODY = text("SELECT set_config('lock_timeout', '5s', true)")

_PGVECTOR = text("""
    SELECT coalesce(e.extversion, a.default_version) AS version, e.extversion IS NOT NULL AS installed
    FROM pg_available_extensions a LEFT JOIN pg_extension e ON e.extname = a.name WHERE a.name = 'vector'
""")
_OUT_OF_REACH = text("""
    SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector' AND to_regtype('halfvec') IS NULL
""")
_RIGHTS = text("""
    SELECT current_user AS name, s.schema, coalesce(has_schema_privilege(s.schema, 'CREATE'), false) AS granted
    FROM coalesce(current_schema(), 'public') AS s (schema)
""")


# Imported only to migrate, so that asking for the revision is quick.
_MIGRATIONS = Path(__file__).parent / "migrations"
_REVISION = text("SELECT version_num FROM alembic_version")
_HAS_REVISION = text("SELECT to_regclass('alembic_version') IS NOT NULL")


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def latest_version() -> str:
    """The revision this version of the code needs."""
    return max(_revisions())


def _revisions() -> set[str]:
    """All revisions that this version knows: the prefixes of their file names."""
    return {file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")}


def current_version(connection: Connection) -> str | None:
    """The database's revision; None if it was never migrated."""
    if not connection.execute(_HAS_REVISION).scalar_one():
        return None
    found: str | None = connection.execute(_REVISION).scalar_one_or_none()
    return found


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Run missing migrations. Safe to call twice, or in two places at once.

    Indexes of tables that are written to all the time are built last, without holding up the writers.

    Returns:
        The revision before and the revision after.

    Raises:
        SchemaVersionError: pgvector is missing, too old or out of reach, the user may not create what is needed, or the
            database is newer than this code.
    """
    before = again(lambda: _upgrade(engine))
    indexes.build(engine)
    return before, latest_version()


def _upgrade(engine: Engine) -> str | None:
    """Run everything in one transaction. It may conflict with one that writes, and is then repeated."""
    from alembic import command

    with transaction(engine) as connection:
        connection.execute(_TAKE_YOUR_TIME)
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
        connection.execute(_BUT_HOLD_UP_NOBODY)
        _require_pgvector(connection)
        _require_rights(connection)
        before = current_version(connection)
        _refuse_newer(before)
        command.upgrade(_config(connection), "head")
        roles.refresh(connection)
    return before


def require_current(engine: Engine) -> None:
    """Stop a process whose code needs another schema.

    Raises:
        SchemaVersionError: says which of the two is behind, and the command to run.
    """
    with engine.connect() as connection:
        found = current_version(connection)
    if found == latest_version():
        return
    _refuse_newer(found)
    state = "has no schema yet" if found is None else f"is at schema {found}"
    raise SchemaVersionError(f"the database {state}, this version needs {latest_version()}: run `enrich migrate`")


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in _revisions():
        raise SchemaVersionError(
            f"the database is at schema {found}, which this version ({latest_version()}) does not know: "
            "it was migrated by a newer release; upgrade this one"
        )


def _require_pgvector(connection: Connection) -> None:
    found = connection.execute(_PGVECTOR).one_or_none()
    if found is None:
        raise SchemaVersionError("the database server has no pgvector extension: install pgvector 0.8 or newer on it")
    if tuple(int(part) for part in found.version.split(".")[:2]) < _MINIMUM_PGVECTOR:
        update = "; if the server has a newer one, run `ALTER EXTENSION vector UPDATE`" if found.installed else ""
        raise SchemaVersionError(f"the database has pgvector {found.version}; 0.8 or newer is needed{update}")
    if not found.installed:
        _install_pgvector(connection)
    schema = connection.execute(_OUT_OF_REACH).scalar_one_or_none()
    if schema is not None:
        raise SchemaVersionError(
            f"pgvector is installed in the schema {schema!r}, which this user's search path does not include: "
            f"run `ALTER ROLE … SET search_path = public, {schema}`"
        )


def _install_pgvector(connection: Connection) -> None:
    # Permissions are not checked beforehand: managed databases have their own rules.
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except DBAPIError as error:
        raise SchemaVersionError(
            f"pgvector could not be installed ({str(error.orig).splitlines()[0]}): have a superuser run "
            "`CREATE EXTENSION vector` in this database, once, then run `enrich migrate` again"
        ) from error


def _require_rights(connection: Connection) -> None:
    found = connection.execute(_RIGHTS).one()
    if not found.granted:
        raise SchemaVersionError(
            f"the database user {found.name!r} may not create tables in the schema {found.schema!r}: "
            f"have the database's owner run `GRANT CREATE ON SCHEMA {found.schema} TO {found.name}`"
        )
