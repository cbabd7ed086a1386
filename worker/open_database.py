"""Opens the database for processes and commands, and checks that it is reachable, migrated and UTF-8."""

from __future__ import annotations

from worker import catalog, db
from worker.db import Engine
from worker.errors import ConfigurationError
from worker.settings import Settings


def database(settings: Settings, name: str, *, pool_size: int = 5) -> Engine:
    """The engine of a database with the schema that this code needs.

    Raises:
        SchemaVersionError: with the command to run.
        ConfigurationError: the database cannot be reached.
    """
    engine = db.connect(settings.database_url, name=name, pool_size=pool_size)
    require_database(engine)
    catalog.schema.require_current(engine)
    return engine


def require_database(engine: Engine) -> None:
    """Raise if the database cannot be reached, or cannot store every object name."""
    problem = db.problem(engine)
    if problem is not None:
        where = engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
        raise ConfigurationError(f"the database cannot be reached at {where} (ENRICH_DATABASE_URL): {problem}")
    db.require_unicode(engine)
