"""Buckets that the ledger knows objects of: found in the store, missing from it, or gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

# One probe of the index for each bucket, however many objects there are.
_NAMES = """
    WITH RECURSIVE known AS (
        (SELECT bucket FROM inbox ORDER BY bucket LIMIT 1)
        UNION ALL
        SELECT (SELECT i.bucket FROM inbox i WHERE i.bucket > k.bucket ORDER BY i.bucket LIMIT 1)
        FROM known k WHERE k.bucket IS NOT NULL
    )
"""
_LIST = text(f"""
    {_NAMES}
    SELECT k.bucket AS name, b.endpoint, b.found_at, b.missing_since, b.missing_from, b.gone_at, b.swept_at,
           extract(epoch FROM now() - b.missing_since)::float8 AS missing_for,
           extract(epoch FROM now() - b.gone_at)::float8 AS gone_for
    FROM known k LEFT JOIN buckets b ON b.name = k.bucket WHERE k.bucket IS NOT NULL ORDER BY k.bucket
""")  # noqa: S608  # a constant
_KNOWS = text("SELECT EXISTS (SELECT FROM inbox WHERE bucket = :name)")
_FOUND = text("""
    INSERT INTO buckets (name, endpoint, found_at) SELECT name, :endpoint, now()
    FROM unnest(CAST(:names AS text[])) AS n (name) ORDER BY name COLLATE "C"
    ON CONFLICT (name) DO UPDATE SET
        endpoint = excluded.endpoint, found_at = now(), missing_since = NULL, missing_from = NULL, gone_at = NULL,
        swept_at = NULL
""")
_MISSING = text("""
    INSERT INTO buckets AS b (name, missing_since, missing_from) SELECT name, now(), :endpoint
    FROM unnest(CAST(:names AS text[])) AS n (name) ORDER BY name COLLATE "C"
    ON CONFLICT (name) DO UPDATE SET
        missing_since = CASE WHEN b.missing_from = excluded.missing_from THEN b.missing_since ELSE now() END,
        missing_from = excluded.missing_from
""")
_GONE = text("""
    INSERT INTO buckets AS b (name, gone_at) SELECT name, now()
    FROM unnest(CAST(:names AS text[])) AS n (name) ORDER BY name COLLATE "C"
    ON CONFLICT (name) DO UPDATE SET gone_at = coalesce(b.gone_at, now())
""")
_ARE_GONE = text("SELECT name FROM buckets WHERE gone_at IS NOT NULL AND name = ANY(CAST(:names AS text[]))")
_SWEPT = text("UPDATE buckets SET swept_at = now() WHERE name = :name AND gone_at IS NOT NULL")
_HASTEN = text("""
    UPDATE inbox SET visible_at = now()
    WHERE id = ANY(ARRAY(SELECT id FROM inbox
                         WHERE bucket = :name AND done < wanted AND token IS NULL AND visible_at > now()
                           AND retry_reason = 'no-such-bucket'
                         ORDER BY key LIMIT :limit FOR UPDATE SKIP LOCKED))
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """What is known about a bucket itself; times are by the database's clock."""

    name: str
    endpoint: str | None  # the store that had it last; None: none was ever seen to have it
    found_at: datetime | None
    missing_since: datetime | None  # since then the store has said each time that there is none
    missing_from: str | None  # that store
    gone_at: datetime | None  # since then it counts as deleted
    swept_at: datetime | None  # when all that was known of it had been made pending work
    missing_for: float | None  # seconds
    gone_for: float | None


def buckets(connection: Connection) -> list[Bucket]:
    """All buckets in which an object was ever announced. One index probe for each, however large they are."""
    return [Bucket(**row._mapping) for row in connection.execute(_LIST)]  # noqa: SLF001  # Row's public mapping view


def knows_bucket(connection: Connection, name: str) -> bool:
    """Whether an object in a bucket was ever announced, and was found or is still pending."""
    return bool(connection.execute(_KNOWS, {"name": name}).scalar_one())


def buckets_found(connection: Connection, names: Collection[str], *, endpoint: str) -> None:
    """Record that this store has them: none of them is missing or gone."""
    connection.execute(_FOUND, {"names": list(names), "endpoint": endpoint})


def buckets_missing(connection: Connection, names: Collection[str], *, endpoint: str) -> None:
    """Record that this store has no such buckets, once more or for the first time."""
    connection.execute(_MISSING, {"names": list(names), "endpoint": endpoint})


def buckets_gone(connection: Connection, names: Collection[str]) -> None:
    """Count them as deleted: objects in them that the store does not find end as gone."""
    connection.execute(_GONE, {"names": list(names)})


def are_gone(connection: Connection, names: Collection[str]) -> frozenset[str]:
    """Which of them count as deleted."""
    return frozenset(connection.execute(_ARE_GONE, {"names": list(names)}).scalars())


def bucket_swept(connection: Connection, name: str) -> None:
    """Make every known object of a gone bucket pending work."""
    connection.execute(_SWEPT, {"name": name})


def make_due(connection: Connection, name: str, *, limit: int) -> int:
    """Make objects due that wait because their bucket is missing, at most ``limit``. Returns their number."""
    return connection.execute(_HASTEN, {"name": name, "limit": limit}).rowcount
