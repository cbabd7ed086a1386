"""A shared cache of text vectors: the first process that needs one stores it for all others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy import text

from worker.catalog.partitions import without_time_limit
from worker.db import Connection
from worker.types import Floats

_KNOWN = text("""
    SELECT digest, vector FROM text_vectors WHERE space_id = :space AND digest = ANY(CAST(:digests AS bytea[]))
""")
# The space is locked, so that whoever drops it finds what is kept here, or we that it was dropped.
_KEEP = text("""
    WITH kept AS (SELECT id FROM spaces WHERE id = :space AND state <> 'dropped' FOR KEY SHARE)
    INSERT INTO text_vectors (space_id, digest, vector)
    SELECT kept.id, t.digest, t.vector FROM kept, unnest(CAST(:digests AS bytea[]), CAST(:vectors AS bytea[]))
        AS t (digest, vector)
    ORDER BY t.digest
    ON CONFLICT (space_id, digest) DO NOTHING
""")
_FORGET = text("DELETE FROM text_vectors WHERE space_id = :space")
_SCALE = text("SELECT logit_scale FROM spaces WHERE id = :space")
_KEEP_SCALE = text("UPDATE spaces SET logit_scale = :scale WHERE id = :space AND logit_scale IS NULL")
#: The type of the column, as numpy names it: the same on every machine.
_FORMAT = "<f4"
_AT_ONCE = 5_000


def known(connection: Connection, space: int, texts: Sequence[str]) -> dict[str, Floats]:
    """Text → ``[d]``, for texts in the cache."""
    import numpy as np

    digests = {_digest(each): each for each in texts}
    found: dict[str, Floats] = {}
    wanted = list(digests)
    for start in range(0, len(wanted), _AT_ONCE):
        rows = connection.execute(_KNOWN, {"space": space, "digests": wanted[start : start + _AT_ONCE]})
        for digest, vector in rows:
            found[digests[bytes(digest)]] = np.frombuffer(vector, dtype=_FORMAT).astype(np.float32)
    return found


def save(connection: Connection, space: int, vectors: Mapping[str, Floats]) -> None:
    """Store vectors of texts; one that another process has stored meanwhile stays. A dropped space stores nothing."""
    kept = {_digest(each): vector.astype(_FORMAT).tobytes() for each, vector in vectors.items()}
    connection.execute(_KEEP, {"space": space, "digests": list(kept), "vectors": list(kept.values())})


def forget(connection: Connection, space: int) -> None:
    """Delete the text vectors of a dropped space."""
    without_time_limit(connection)
    connection.execute(_FORGET, {"space": space})


def logit_scale(connection: Connection, space: int) -> float | None:
    """What the space's model multiplies cosines by; None if no release that stores it has loaded the model."""
    found: float | None = connection.execute(_SCALE, {"space": space}).scalar_one()
    return found


def save_logit_scale(connection: Connection, space: int, scale: float) -> None:
    """Store it, unless it is known."""
    connection.execute(_KEEP_SCALE, {"space": space, "scale": scale})


def _digest(text_: str) -> bytes:
    return hashlib.sha256(text_.encode()).digest()
