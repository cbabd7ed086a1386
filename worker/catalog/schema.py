"""The schema's version: bring it up to date, or stop with the command that does."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from worker.db import Connection, Engine, transaction
from worker.errors import SchemaVersionError

#: Session advisory lock: two `enrich migrate` at once wait for each other instead of failing half-way.
_MIGRATION_LOCK = 0x656E7269
_MINIMUM_PGVECTOR = (0, 8)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision this version of the code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101  # the package ships its migrations
    return revision


def revision(connection: Connection) -> str | None:
    """The revision the database is at; None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Run what is missing. Safe to call twice, or from two places at once.

    Returns:
        The revision before and the revision after.

    Raises:
        SchemaVersionError: pgvector is missing or too old, or the database is newer than this code.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
        _require_pgvector(connection)
        before = revision(connection)
        _refuse_newer(before)
        command.upgrade(_config(connection), "head")
        return before, head()


def require_current(engine: Engine) -> None:
    """Stop a process that would run against another schema than it was written for.

    Raises:
        SchemaVersionError: says which of the two is behind, and the command to run.
    """
    with engine.connect() as connection:
        found = revision(connection)
    if found == head():
        return
    _refuse_newer(found)
    state = "has no schema yet" if found is None else f"is at schema {found}"
    raise SchemaVersionError(f"the database {state}, this version needs {head()}: run `enrich migrate`")


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaVersionError(
            f"the database is at schema {found}, which this version ({head()}) does not know: "
            "it was migrated by a newer release; upgrade this one"
        )


def _require_pgvector(connection: Connection) -> None:
    version = connection.execute(
        text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    ).scalar_one_or_none()
    if version is None:
        raise SchemaVersionError("the database server has no pgvector extension: install pgvector 0.8 or newer on it")
    if tuple(int(part) for part in str(version).split(".")[:2]) < _MINIMUM_PGVECTOR:
        raise SchemaVersionError(
            f"the database server has pgvector {version}; 0.8 or newer is needed (iterative scans)"
        )
