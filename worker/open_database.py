"""The database, as every process and command opens it: there, of this version's schema, and able to hold every name."""

from __future__ import annotations

from worker import catalog, db
from worker.db import Engine
from worker.errors import ConfigurationError
from worker.settings import Settings


def database(settings: Settings, name: str, *, pool_size: int = 5) -> Engine:
    """The engine, on a database whose schema is the one this code needs.

    Raises:
        SchemaVersionError: with the command to run.
        ConfigurationError: the database cannot be reached.
    """
    engine = db.connect(settings.database_url, name=name, pool_size=pool_size)
    require_database(engine)
    catalog.schema.require_current(engine)
    return engine


def require_database(engine: Engine) -> None:
    """Stop with a sentence if the database cannot be reached, or cannot hold every object's name."""
    problem = db.problem(engine)
    if problem is not None:
        where = engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
        raise ConfigurationError(f"the database cannot be reached at {where} (ENRICH_DATABASE_URL): {problem}")
    db.require_unicode(engine)
