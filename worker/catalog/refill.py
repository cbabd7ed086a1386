"""Writing vectors of images that are in the catalog already, beside workers that write the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import text

from worker.db import Connection
from worker.types import Floats

# Images that a worker is writing now are left out: waiting for them could end in a deadlock, and the worker owes them
# anew anyway.
_LOCK = text("""
    SELECT id, encode(sha256, 'hex') AS sha256 FROM images
    WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
_KNOWN = text("SELECT id FROM images WHERE id = ANY(CAST(:ids AS bigint[]))")
_TAGS = text("""
    SELECT e.image_id, array(SELECT ARRAY[t.taxonomy, t.taxonomy_version, t.label] FROM tags t
                             WHERE t.image_id = e.image_id AND t.space_id = :space) AS tags
    FROM embeddings e WHERE e.space_id = :space AND e.image_id > :after
    ORDER BY e.image_id LIMIT :limit
""")
_VECTORS = text("""
    SELECT e.image_id, CAST(e.vector AS real[]) AS vector FROM embeddings e
    WHERE e.space_id = :space AND e.image_id = ANY(CAST(:ids AS bigint[])) ORDER BY e.image_id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """Images as they are, until the transaction ends."""

    hashes: Mapping[int, str]  # id → SHA-256 of the file, in hex; of those that could be locked
    gone: frozenset[int]  # no longer in the catalog


def lock_images(connection: Connection, ids: Sequence[int]) -> Locked:
    """Lock images for writing what belongs to them. Those that somebody else has locked are in neither answer."""
    hashes = {row.id: row.sha256 for row in connection.execute(_LOCK, {"ids": list(ids)})}
    known = frozenset(connection.execute(_KNOWN, {"ids": list(ids)}).scalars())
    return Locked(hashes=hashes, gone=frozenset(ids) - known)


def tags_in(
    connection: Connection, space: int, *, after: int, limit: int
) -> dict[int, frozenset[tuple[str, str, str | None]]]:
    """What a space's model decided about the next images behind ``after``: (taxonomy, version, label), by image."""
    rows = connection.execute(_TAGS, {"space": space, "after": after, "limit": limit})
    return {
        row.image_id: frozenset((taxonomy, version, label) for taxonomy, version, label in row.tags) for row in rows
    }


def vectors(connection: Connection, space: int, ids: Sequence[int]) -> tuple[list[int], Floats]:
    """Stored vectors of these images: those that have one, and ``[n, d]`` in the same order."""
    rows = connection.execute(_VECTORS, {"space": space, "ids": list(ids)}).all()
    return [row.image_id for row in rows], np.array([row.vector for row in rows], dtype=np.float32)
