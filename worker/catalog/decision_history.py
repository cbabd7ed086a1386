"""Reads people's decisions in bulk, oldest first: for exports, and for imports that go on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from worker.catalog.decisions import COLUMNS, Decision, DecisionFilter, conditions_of, decision, values_of
from worker.db import Connection, storable
from worker.types import ObjectRef

_NEWEST = text("SELECT coalesce(max(id), 0) FROM decisions")
_STANDS = "d.verdict <> 'undo' AND NOT EXISTS (SELECT FROM decisions u WHERE u.undoes = d.id)"
_IS_STANDING = text(f"SELECT EXISTS (SELECT FROM decisions d WHERE d.batch = CAST(:batch AS uuid) AND {_STANDS})")  # noqa: S608
# By the images, not by the batch, which may be much larger (OFFSET 0 is the fence).
_STANDING = text(f"""
    SELECT {COLUMNS} FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    CROSS JOIN LATERAL (
        SELECT * FROM decisions WHERE bucket = r.bucket COLLATE "C" AND key = r.key COLLATE "C" OFFSET 0) AS d
    WHERE d.batch = CAST(:batch AS uuid) AND {_STANDS} ORDER BY d.id
""")  # noqa: S608  # made of this package's texts


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedImage:
    """An image in the catalog about which a person decided."""

    ref: ObjectRef
    sha256: str  # hex; of the bytes that it has now


def newest(connection: Connection) -> int:
    """The number of the newest decision; 0: there is none."""
    return int(connection.execute(_NEWEST).scalar_one())


def page(connection: Connection, filter_: DecisionFilter, *, after: int, last: int, limit: int) -> list[Decision]:
    """Decisions, oldest first, above ``after`` and up to ``last``."""
    where = " AND ".join(["d.id > :after AND d.id <= :last", *conditions_of(filter_)])
    query = f"SELECT {COLUMNS} FROM decisions d WHERE {where} ORDER BY d.id LIMIT :limit"  # noqa: S608
    given = {**values_of(filter_), "after": after, "last": last, "limit": limit}
    return [decision(row) for row in connection.execute(text(query), given)]


def images(
    connection: Connection, filter_: DecisionFilter, *, after: tuple[str, str] | None, limit: int
) -> list[DecidedImage]:
    """Images in the catalog with a decision that matches, by bucket and key, behind ``after``."""
    behind = ["(d.bucket, d.key) > (:after_bucket, :after_key)"] if after is not None else []
    where = " AND ".join(["true", *behind, *conditions_of(filter_)])
    query = f"""
        SELECT i.bucket, i.key, encode(i.sha256, 'hex') AS sha256
        FROM (SELECT DISTINCT d.bucket, d.key FROM decisions d WHERE {where}) AS k
        JOIN images i ON i.bucket = k.bucket AND i.key = k.key
        ORDER BY k.bucket, k.key LIMIT :limit
    """  # noqa: S608  # made of this package's texts
    bucket, key = after or ("", "")
    given = {**values_of(filter_), "after_bucket": bucket, "after_key": key, "limit": limit}
    return [
        DecidedImage(ref=ObjectRef(bucket=row.bucket, key=row.key), sha256=row.sha256)
        for row in connection.execute(text(query), given)
    ]


def is_standing(connection: Connection, batch: UUID) -> bool:
    """Whether a batch has a decision that was not undone."""
    return bool(connection.execute(_IS_STANDING, {"batch": str(batch)}).scalar_one())


def standing(connection: Connection, batch: UUID, refs: Collection[ObjectRef]) -> list[Decision]:
    """The decisions of a batch about these objects that were not undone, oldest first."""
    names = {"buckets": [storable(ref.bucket) for ref in refs], "keys": [storable(ref.key) for ref in refs]}
    return [decision(row) for row in connection.execute(_STANDING, {"batch": str(batch), **names})]
