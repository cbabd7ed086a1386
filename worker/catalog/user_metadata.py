"""User metadata of objects (``x-amz-meta-…``), as far as workers store it."""

from __future__ import annotations

from sqlalchemy import text

from worker.db import Connection

_HAS = text("SELECT EXISTS (SELECT FROM images WHERE user_metadata ? CAST(:name AS text))")
_NAMES = text("""
    SELECT DISTINCT jsonb_object_keys(user_metadata) AS name
    FROM (SELECT user_metadata FROM images WHERE user_metadata IS NOT NULL LIMIT 10000) AS i ORDER BY name
""")


def has_name(connection: Connection, name: str) -> bool:
    """Whether any image has user metadata with this name."""
    return bool(connection.execute(_HAS, {"name": name}).scalar_one())


def some_names(connection: Connection) -> list[str]:
    """The names that 10,000 images have."""
    return list(connection.execute(_NAMES).scalars())
