"""The counters of embedding spaces: vectors, and missing vectors (migration 0019)."""

from __future__ import annotations

from dataclasses import dataclass

from worker.counters import Counters
from worker.db import Connection

_NOT_DROPPED = "space_id IN (SELECT id FROM spaces WHERE state <> 'dropped')"
_RECOUNTED = f"""
    SELECT space_id, 'vectors', count(*) FROM embeddings WHERE {_NOT_DROPPED} GROUP BY 1
    UNION ALL
    SELECT space_id, 'previews', count(*) FROM embeddings WHERE from_preview AND {_NOT_DROPPED} GROUP BY 1
    UNION ALL
    SELECT space_id, owed_state(visible_at), count(*) FROM owed_vectors WHERE {_NOT_DROPPED} GROUP BY 1, 2
"""  # noqa: S608  # constants, here and below
_COUNTERS = Counters("space", keys="space_id, state", value="images", recount=_RECOUNTED, where=_NOT_DROPPED)
_COUNTED = """
    SELECT state, sum(images) AS n FROM (
        SELECT space_id, state, images FROM space_counts UNION ALL SELECT space_id, state, images FROM space_deltas
    ) AS c WHERE space_id = s.id GROUP BY state
"""
_BY_COUNTERS = f"""
    SELECT coalesce(sum(n) FILTER (WHERE state = 'vectors'), 0)::bigint AS images,
           coalesce(sum(n) FILTER (WHERE state = 'previews'), 0)::bigint AS from_previews,
           coalesce(sum(n) FILTER (WHERE state = 'waiting'), 0)::bigint AS waiting,
           coalesce(sum(n) FILTER (WHERE state = 'failed'), 0)::bigint AS failed
    FROM ({_COUNTED}) AS counted
"""  # noqa: S608
_BY_COUNTING = """
    SELECT (SELECT count(*) FROM embeddings e WHERE e.space_id = s.id) AS images,
           (SELECT count(*) FROM embeddings e WHERE e.space_id = s.id AND e.from_preview) AS from_previews,
           count(*) FILTER (WHERE visible_at < 'infinity') AS waiting,
           count(*) FILTER (WHERE visible_at = 'infinity') AS failed
    FROM owed_vectors o WHERE o.space_id = s.id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceMiscount:
    """A counter that differs from its recount."""

    space_id: int
    state: str  # vectors, those of them that are made from previews, waiting or failed
    recounted: int  # rows
    counted: int  # what the counter says


def fold(connection: Connection) -> None:
    """Keep the counters short; see :class:`worker.counters.Counters`."""
    _COUNTERS.fold(connection)


def is_counted(connection: Connection) -> bool:
    """Whether the counters cover all vectors, including those older than them."""
    return _COUNTERS.are_complete(connection)


def counted_or_counting(connection: Connection) -> str:
    """SQL, for a LATERAL beside ``spaces s``: how many of its images have a vector, have one that was made from their
    preview, wait for one, and were given up.
    """
    return _BY_COUNTERS if is_counted(connection) else _BY_COUNTING


def miscounts(connection: Connection) -> list[SpaceMiscount]:
    """Recount all spaces and compare. Reads all rows but not the vectors; does not block writers."""
    return [SpaceMiscount(**row._mapping) for row in _COUNTERS.differences(connection)]  # noqa: SLF001


def correct(connection: Connection) -> None:
    """Correct every counter. Also makes the first count of vectors older than the counters."""
    _COUNTERS.complete(connection)
