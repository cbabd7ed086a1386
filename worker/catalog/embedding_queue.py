"""The embedding queue: vectors missing in a space, one queue per space, apart from the ledger.

The queue is a working list and not the truth: what a space lacks is what ``images`` has and its partition does not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.catalog.space_counters import counted_or_counting
from worker.db import Connection, storable
from worker.types import ObjectRef

# Overwriting an image queues it anew: attempts at the earlier bytes do not count, and a current claim becomes late.
_ENQUEUE = text("""
    INSERT INTO owed_vectors (space_id, image_id)
    SELECT s.id, i.id FROM unnest(CAST(:spaces AS integer[])) AS s (id), unnest(CAST(:ids AS bigint[])) AS i (id)
    WHERE NOT EXISTS (SELECT FROM embeddings e WHERE e.space_id = s.id AND e.image_id = i.id)
    ORDER BY s.id, i.id
    ON CONFLICT (space_id, image_id) DO UPDATE SET
        owed_since = clock_timestamp(), visible_at = now(), attempts = 0, token = NULL, error = NULL
""")
# Bounded by what is looked at, not by what is found: behind a hundred million images that have theirs, a statement
# would look for the first one that has not until its time is up.
# The space is locked: either a drop finds what is queued here, or we find that the space was dropped.
_ENQUEUE_MISSING = text("""
    WITH open AS (SELECT id FROM spaces WHERE id = :space AND state IN ('active', 'filling') FOR KEY SHARE),
    looked_at AS (SELECT i.id FROM images i WHERE i.id > :after ORDER BY i.id LIMIT :limit),
    added AS (
        INSERT INTO owed_vectors (space_id, image_id)
        SELECT open.id, looked_at.id FROM open, looked_at
        WHERE NOT EXISTS (SELECT FROM embeddings e WHERE e.space_id = :space AND e.image_id = looked_at.id
                          AND NOT (:replacing AND e.from_preview))
        ORDER BY looked_at.id
        ON CONFLICT (space_id, image_id) DO NOTHING
        RETURNING image_id
    )
    SELECT (SELECT max(id) FROM looked_at) AS last, (SELECT count(*) FROM added) AS queued
""")
# An image that was tried before is claimed alone, because its last worker may have died of it. An image that has its
# vector by now was queued by a search for missing vectors that did not see that it had just got it and left the queue.
_CLAIM = text("""
    WITH again AS (
        SELECT image_id FROM owed_vectors
        WHERE space_id = :space AND visible_at <= now() AND attempts > 0
        ORDER BY visible_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ), fresh AS (
        SELECT image_id FROM owed_vectors
        WHERE space_id = :space AND visible_at <= now() AND attempts = 0 AND NOT EXISTS (SELECT FROM again)
        ORDER BY visible_at LIMIT :size FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE owed_vectors SET
            attempts   = attempts + 1,
            token      = (SELECT nextval('owed_vectors_token_seq')),
            visible_at = now() + make_interval(secs => :lease)
        WHERE space_id = :space
          AND image_id = ANY(ARRAY(SELECT image_id FROM again UNION ALL SELECT image_id FROM fresh))
        RETURNING image_id, attempts, token
    )
    SELECT c.image_id, c.attempts, c.token, i.bucket, i.key, encode(i.sha256, 'hex') AS sha256,
           least(i.width, i.height) AS shorter, i.enriched_at
    FROM claimed c LEFT JOIN images i ON i.id = c.image_id
        AND NOT EXISTS (SELECT FROM embeddings e WHERE e.space_id = :space AND e.image_id = c.image_id
                        AND NOT e.from_preview)
""")
_REMOVE = text("""
    DELETE FROM owed_vectors
    WHERE space_id = :space AND token = :token AND image_id = ANY(CAST(:ids AS bigint[]))
""")
_POSTPONE = text("""
    UPDATE owed_vectors o SET
        token = NULL, error = l.error, attempts = o.attempts - CASE WHEN l.counted THEN 0 ELSE 1 END,
        visible_at = CASE WHEN l.delay IS NULL THEN 'infinity' ELSE now() + make_interval(secs => l.delay) END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:delays AS float8[]), CAST(:errors AS text[]), CAST(:counted AS boolean[]))
        AS l (id, delay, error, counted)
    WHERE o.space_id = :space AND o.token = :token AND o.image_id = l.id
""")
_RELEASE = text("""
    UPDATE owed_vectors SET token = NULL, visible_at = now(), attempts = attempts - 1
    WHERE space_id = :space AND token = :token
""")
_QUEUE_LENGTH = text("""
    SELECT count(*) FILTER (WHERE visible_at < 'infinity') AS open,
           count(*) FILTER (WHERE visible_at < 'infinity' AND owed_since <= :before) AS older,
           count(*) FILTER (WHERE visible_at <= now()) AS visible,
           count(*) FILTER (WHERE visible_at = 'infinity') AS failed
    FROM owed_vectors WHERE space_id = :space
""")
_CLAIMABLE = text("""
    SELECT s.id FROM spaces s WHERE s.state IN ('active', 'filling')
      AND EXISTS (SELECT FROM owed_vectors o WHERE o.space_id = s.id AND o.visible_at <= now())
    ORDER BY s.state = 'active' DESC, s.id
""")
_QUEUE_LENGTHS = """
    SELECT s.id, n.waiting FROM spaces s, LATERAL ({counts}) AS n WHERE s.state IN ('active', 'filling') ORDER BY s.id
"""
_FAILURES = text("""
    SELECT i.bucket, i.key, o.error FROM owed_vectors o JOIN images i ON i.id = o.image_id
    WHERE o.space_id = :space AND o.visible_at = 'infinity' ORDER BY i.bucket, i.key LIMIT :limit
""")
_RETRY_FAILED = text("""
    UPDATE owed_vectors SET visible_at = now(), attempts = 0 WHERE space_id = :space AND visible_at = 'infinity'
""")
_NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedImage:
    """One claimed image."""

    id: int
    ref: ObjectRef
    attempts: int  # including this one
    sha256: str  # of the bytes that the catalog describes
    shorter: int  # side of the original, in pixels
    enriched_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedBatch:
    """Images claimed until the lease ends."""

    token: int
    images: tuple[QueuedImage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Postponement:
    """An image that has no vector yet, and why."""

    id: int
    error: str
    delay: float | None  # seconds; None: given up
    counted: bool = True  # False: the attempt was not the image's fault


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueLength:
    """How long a space's queue is."""

    open: int  # waiting or claimed
    older: int  # of these, how many were queued before the given time
    visible: int  # claimable now
    failed: int  # given up


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepStep:
    """A step of ``enqueue_missing``."""

    last: int  # the last image examined, to continue after
    queued: int  # how many lacked a vector and were not queued yet


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingFailure:
    """An image that a space's model could not embed."""

    bucket: str
    key: str
    error: str | None


def enqueue(connection: Connection, spaces: Collection[int], images: Sequence[int]) -> None:
    """Note that these images need a vector in each of these spaces, unless they have one."""
    connection.execute(_ENQUEUE, {"spaces": sorted(spaces), "ids": list(images)})


def enqueue_missing(
    connection: Connection, space: int, *, after: int, limit: int, replacing_previews: bool = False
) -> SweepStep | None:
    """Examine the next ``limit`` images, and queue those without a vector in a space. May run in parallel.
    Nothing is queued for a space that is not filled any more. With ``replacing_previews``, also those whose vector was
    made from their preview.

    Returns:
        None when there are no images behind ``after``.
    """
    given = {"space": space, "after": after, "limit": limit, "replacing": replacing_previews}
    row = connection.execute(_ENQUEUE_MISSING, given).one()
    return None if row.last is None else SweepStep(last=row.last, queued=row.queued)


def claim(connection: Connection, space: int, *, size: int, lease: float) -> QueuedBatch | None:
    """Claim up to ``size`` images for ``lease`` seconds; one tried before comes alone. Commit before working."""
    rows = connection.execute(_CLAIM, {"space": space, "size": size, "lease": lease}).all()
    if not rows:
        return None
    complete(connection, space, rows[0].token, [row.image_id for row in rows if row.key is None])
    images = tuple(
        QueuedImage(
            id=row.image_id,
            ref=ObjectRef(bucket=row.bucket, key=row.key),
            attempts=row.attempts,
            sha256=row.sha256,
            shorter=row.shorter,
            enriched_at=row.enriched_at,
        )
        for row in rows
        if row.key is not None
    )
    return QueuedBatch(token=rows[0].token, images=images)


def complete(connection: Connection, space: int, token: int, images: Sequence[int]) -> None:
    """Remove images from the queue: they have their vector, or another worker handles them."""
    if images:
        connection.execute(_REMOVE, {"space": space, "token": token, "ids": list(images)})


def postpone(connection: Connection, space: int, token: int, images: Sequence[Postponement]) -> None:
    """Put images back for later, or give them up, keeping why."""
    if images:
        connection.execute(
            _POSTPONE,
            {
                "space": space,
                "token": token,
                "ids": [each.id for each in images],
                "delays": [each.delay for each in images],
                "errors": [storable(each.error) for each in images],
                "counted": [each.counted for each in images],
            },
        )


def release(connection: Connection, space: int, token: int) -> None:
    """Put a whole batch back untried."""
    connection.execute(_RELEASE, {"space": space, "token": token})


def queue_length(connection: Connection, space: int, *, before: datetime | None = None) -> QueueLength:
    """The lengths of a space's queue."""
    row = connection.execute(_QUEUE_LENGTH, {"space": space, "before": before}).one()
    return QueueLength(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def spaces_with_work(connection: Connection) -> list[int]:
    """Spaces with work that can be claimed now, the active one first."""
    return list(connection.execute(_CLAIMABLE).scalars())


def queue_lengths(connection: Connection) -> dict[int, int]:
    """How many vectors are missing in each space that is active or being filled."""
    statement = text(_QUEUE_LENGTHS.format(counts=counted_or_counting(connection)))
    return {row.id: row.waiting for row in connection.execute(statement)}


def failures(connection: Connection, space: int, *, limit: int) -> list[EmbeddingFailure]:
    """Images that were given up."""
    rows = connection.execute(_FAILURES, {"space": space, "limit": limit})
    return [EmbeddingFailure(**row._mapping) for row in rows]  # noqa: SLF001


def retry_failures(connection: Connection, space: int) -> int:
    """Put what was given up back into the queue."""
    return connection.execute(_RETRY_FAILED, {"space": space}).rowcount


def now(connection: Connection) -> datetime:
    """The database's clock, which sets ``owed_since``."""
    now: datetime = connection.execute(_NOW).scalar_one()
    return now
