"""Known-good images to retry when it is unclear whether the files or we are at fault."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection
from worker.types import ObjectRef

# The newest rows are found through the primary key, whatever the size of the table.
_SAMPLE = text("""
    SELECT bucket, key, etag FROM (SELECT bucket, key, etag FROM images ORDER BY id DESC LIMIT :newest) AS newest
    ORDER BY substring(lower(key) FROM '[.][^./]*$') = ANY(CAST(:suffixes AS text[])) DESC NULLS LAST, random()
    LIMIT :limit
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledImage:
    """An enriched image, and which bytes it was enriched from."""

    ref: ObjectRef
    etag: str


def draw(connection: Connection, *, suffixes: Collection[str], limit: int, newest: int = 10_000) -> list[SampledImage]:
    """Some of the newest images, those whose key ends in one of ``suffixes`` (".heic") first, else at random."""
    rows = connection.execute(_SAMPLE, {"suffixes": list(suffixes), "limit": limit, "newest": newest})
    return [SampledImage(ref=ObjectRef(bucket=row.bucket, key=row.key), etag=row.etag) for row in rows]
