"""Indexes that are built concurrently with writes.

``CREATE INDEX`` keeps writers out for as long as it takes, minutes with many images; built concurrently, it cannot be
part of a migration's transaction. So these are not migrations: ``enrich migrate`` looks after them behind those.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import text

from worker.db import Connection, Engine

#: Name → columns.
_INDEXES: Mapping[str, str] = {
    "images_enriched_at": "images (enriched_at)",
    "inbox_oldest": "inbox (bucket, hinted_at) WHERE done < wanted",
    "inbox_retried": "inbox (bucket, retry_reason, hinted_at) WHERE done < wanted AND retry_reason IS NOT NULL",
}

_LOCK = 0x656E7269 + 1
_POLL = 0.2  # seconds

_TRY = text("SELECT pg_try_advisory_lock(:id)")
_UNLOCK = text("SELECT pg_advisory_unlock(:id)")
_TAKE_YOUR_TIME = text("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")
_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def build(engine: Engine) -> None:
    """Build missing indexes, and rebuild unfinished ones. Safe to run in two places at once."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if all(_is_valid(connection, name) for name in _INDEXES):
            return
        with _alone(connection):
            for name, on in _INDEXES.items():
                _build(connection, name, on)
        connection.invalidate()  # its time limits are not those of others


def _build(connection: Connection, name: str, on: str) -> None:
    if _is_valid(connection, name):
        return
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    connection.execute(text(f"CREATE INDEX CONCURRENTLY {name} ON {on}"))


def _is_valid(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_VALID, {"name": name}).scalar_one_or_none())


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold a lock. It is polled, because building an index waits for all statements, including one that waits."""
    connection.execute(_TAKE_YOUR_TIME)
    while not connection.execute(_TRY, {"id": _LOCK}).scalar_one():
        time.sleep(_POLL)
    try:
        yield
    finally:
        connection.execute(_UNLOCK, {"id": _LOCK})
