"""Appending to the feed inside the write transaction, and reading it without skipping or repeating anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text

from worker.db import Connection
from worker.types import ObjectRef

_APPEND = text("""
    INSERT INTO changes (kind, bucket, key, etag)
    SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:buckets AS text[]), CAST(:keys AS text[]),
                         CAST(:etags AS text[]))
""")

# Ids are drawn before their transaction commits, so a higher id can become visible first. Transaction ids below the
# oldest one still running are all decided: ordered by (xid, id), what is below that line never changes any more.
# Source: PostgreSQL documentation, pg_current_snapshot() and "Transaction ID and snapshot information functions".
_READ = text("""
    SELECT xid::text AS xid, id, kind, bucket, key, etag, at FROM changes
    WHERE (xid, id) > (CAST(:xid AS xid8), :id) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT :limit
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One entry of the feed. It points; the catalog holds what is true now."""

    id: str  # cursor: pass it as ``after`` to go on behind this change
    kind: Literal["enriched", "removed"]
    bucket: str
    key: str
    etag: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """Changes to append."""

    kind: Literal["enriched", "removed"]
    ref: ObjectRef
    etag: str | None


def append(connection: Connection, entries: Sequence[Feed]) -> None:
    """Add entries; they appear to readers when the transaction commits, together with what they announce."""
    if entries:
        connection.execute(
            _APPEND,
            {
                "kinds": [entry.kind for entry in entries],
                "buckets": [entry.ref.bucket for entry in entries],
                "keys": [entry.ref.key for entry in entries],
                "etags": [entry.etag for entry in entries],
            },
        )


def read(connection: Connection, *, after: str | None, limit: int) -> list[Change]:
    """The next changes in commit order.

    Args:
        after: the ``id`` of the last change seen; None starts at the beginning.
        limit: most changes returned.

    Raises:
        ValueError: ``after`` is not a cursor of this feed.
    """
    xid, number = _cursor(after)
    rows = connection.execute(_READ, {"xid": str(xid), "id": number, "limit": limit})
    return [Change(id=f"{r.xid}-{r.id}", kind=r.kind, bucket=r.bucket, key=r.key, etag=r.etag, at=r.at) for r in rows]


def _cursor(after: str | None) -> tuple[int, int]:
    if after is None:
        return 0, 0
    xid, dash, number = after.partition("-")
    if not (dash and xid.isascii() and xid.isdigit() and number.isascii() and number.isdigit()):
        raise ValueError(f"{after!r} is not a cursor: pass the id of a change, as it was returned")
    if int(xid) >= 1 << 64 or int(number) >= 1 << 63:
        raise ValueError(f"{after!r} is not a cursor: out of range")
    return int(xid), int(number)
