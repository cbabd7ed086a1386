"""Indexes that are built concurrently with writes.

``CREATE INDEX`` keeps writers out for as long as it takes, minutes with many images; built concurrently, it cannot be
part of a migration's transaction. So these are not migrations: ``enrich migrate`` looks after them behind those.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import text

from worker.catalog.duplicates import QUARTERS
from worker.catalog.key_words import key_words_sql
from worker.db import Connection, Engine

#: Name → table and columns or expressions.
_INDEXES: Mapping[str, str] = {
    "images_enriched_at": "images (enriched_at)",
    "images_key_words": f"images USING gin (({key_words_sql('key')}))",
    "images_by_day": "images (bucket, ((enriched_at AT TIME ZONE 'UTC')::date), hashint8(id))",
    "images_camera": "images (coalesce(camera_make, ''), coalesce(camera_model, '')) "
    "WHERE camera_make IS NOT NULL OR camera_model IS NOT NULL",
    **{f"images_phash_{number}": f"images ({quarter})" for number, quarter in enumerate(QUARTERS)},
    "images_place": "images (latitude, longitude) WHERE latitude IS NOT NULL",
    "images_user_metadata": "images USING gin (user_metadata) WHERE user_metadata IS NOT NULL",
    "tags_of_people": "tags (image_id, taxonomy) WHERE space_id IS NULL",
    "tags_applied": "tags (taxonomy, label, image_id) WHERE label IS NOT NULL AND source <> 'suggestion'",
    "tags_suggested": "tags (taxonomy, label, image_id) WHERE label IS NOT NULL AND source = 'suggestion'",
    "inbox_oldest": "inbox (bucket, hinted_at) WHERE done < wanted",
    "inbox_retried": "inbox (bucket, retry_reason, hinted_at) WHERE done < wanted AND retry_reason IS NOT NULL",
}
#: Replaced by some of the above, and dropped behind them.
_REPLACED = ("tags_by_people", "tags_by_label")

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
            for name in _REPLACED:
                connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
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
