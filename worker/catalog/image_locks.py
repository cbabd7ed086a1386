"""Locks for writing vectors of existing images while workers write the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection

# Images that a worker is writing now are left out: waiting for them could deadlock, and the worker queues them anew
# anyway.
_LOCK = text("""
    SELECT id, encode(sha256, 'hex') AS sha256, etag FROM images
    WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
_KNOWN = text("SELECT id FROM images WHERE id = ANY(CAST(:ids AS bigint[]))")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedImages:
    """Images that stay unchanged until the transaction ends."""

    hashes: Mapping[int, str]  # id → SHA-256 of the file, in hex; of those that could be locked
    etags: Mapping[int, str | None]  # of the same
    gone: frozenset[int]  # no longer in the catalog


def lock(connection: Connection, ids: Sequence[int]) -> LockedImages:
    """Lock images in order to write their vectors. Those locked by others are in none of the results."""
    rows = connection.execute(_LOCK, {"ids": list(ids)}).all()
    hashes = {row.id: row.sha256 for row in rows}
    known = frozenset(connection.execute(_KNOWN, {"ids": list(ids)}).scalars())
    return LockedImages(hashes=hashes, etags={row.id: row.etag for row in rows}, gone=frozenset(ids) - known)
