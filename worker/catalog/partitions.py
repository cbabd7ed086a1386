"""The partition of each space: created, indexed and dropped while others read and write.

Names and dimensions are integers from ``spaces``, spelled out because DDL takes no bind parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from worker.db import Connection, Engine

_MAKE_PARTITION = text("SELECT make_partition(:space)")
#: Dropping a table removes its foreign key's triggers from `images`, which blocks readers, but only briefly.
_VERY_BRIEFLY = text("SELECT set_config('lock_timeout', '250ms', true)")
_LOCK_NOT_AVAILABLE = "55P03"

_TAGS_AT_ONCE = 10_000
# Rows that another session has locked are left for the next round: we never wait while we hold locks ourselves.
_DROP_TAGS = text("""
    WITH gone AS (
        DELETE FROM tags WHERE id = ANY(ARRAY(
            SELECT id FROM tags WHERE image_id >= :after AND space_id = :space
            ORDER BY image_id LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING image_id
    )
    SELECT count(*) AS tags, max(image_id) AS last FROM gone
""")
_TAGS_LEFT = text("SELECT EXISTS (SELECT FROM tags WHERE space_id = :space)")
_NO_TIME_LIMIT = text("SELECT set_config('statement_timeout', '0', true)")
_INDEX = text("""
    SELECT x.indisvalid FROM pg_index x WHERE x.indexrelid = to_regclass(:name)
""")
_SIZE = text("SELECT coalesce(pg_total_relation_size(to_regclass(:name)), 0)")
_ATTACHED = text("SELECT count(*) FROM pg_inherits WHERE inhrelid = to_regclass(:name)")
_PENDING_DETACH = text("SELECT count(*) FROM pg_inherits WHERE inhrelid = to_regclass(:name) AND inhdetachpending")
_PROGRESS = text("""
    SELECT p.tuples_done, p.tuples_total FROM pg_stat_progress_create_index p
    WHERE p.relid = to_regclass(:name) AND p.datname = current_database()
""")
_ONE_BUILDER = "SELECT pg_try_advisory_lock(hashtextextended('enrich index', {0}))"


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a statement only timed out waiting for a lock, and may be repeated."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE


def create_partition(connection: Connection, space: int) -> None:
    """Create the table for a space's vectors, with its index if the space is active (the table is still empty).

    A function of the owner's does it (migration 0015): a worker's role may not make tables.
    """
    connection.execute(_MAKE_PARTITION, {"space": space})


def has_index(connection: Connection, space: int) -> bool:
    """Whether searches in a space can use its index."""
    return bool(connection.execute(_INDEX, {"name": f"embeddings_{space}_hnsw"}).scalar_one_or_none())


def build_index(engine: Engine, space: int, dimension: int) -> None:
    """Index a full partition while it is read and written. May take hours; does nothing if the index exists.

    Two callers build one index: the other waits. A build that was broken off is begun anew.
    """
    with unlimited(engine) as connection:
        # Waiting inside of one statement would hold a snapshot, which the build would wait for.
        while not connection.execute(text(_ONE_BUILDER.format(int(space)))).scalar_one():
            time.sleep(0.5)
        if has_index(connection, space):
            return
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS embeddings_{space}_hnsw"))
        connection.execute(text(_definition(space, dimension, how="INDEX CONCURRENTLY")))


def _definition(space: int, dimension: int, *, how: str) -> str:
    # Unit vectors: the inner product orders as the cosine does and costs less.
    return (
        f"CREATE {how} embeddings_{space}_hnsw ON embeddings_{space} "
        f"USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops)"
    )


def index_progress(connection: Connection, space: int) -> tuple[int, int] | None:
    """Vectors indexed so far and in total, while a build runs."""
    row = connection.execute(_PROGRESS, {"name": f"embeddings_{space}"}).one_or_none()
    return None if row is None else (row.tuples_done, row.tuples_total)


def partition_bytes(connection: Connection, space: int) -> int:
    """Bytes on disk of a space's vectors and indexes."""
    return int(connection.execute(_SIZE, {"name": f"embeddings_{space}"}).scalar_one())


def drop_partition(engine: Engine, space: int, *, waiting: Callable[[str], None] = lambda _: None) -> None:
    """Delete a space's vectors. Waits for earlier readers; others are blocked only briefly.

    Args:
        engine: the database.
        space: a space that is neither written nor read any more.
        waiting: told what for, each time that it takes longer.
    """
    name = f"embeddings_{space}"
    with unlimited(engine) as connection:
        if connection.execute(_PENDING_DETACH, {"name": name}).scalar_one():
            connection.execute(text(f"ALTER TABLE embeddings DETACH PARTITION {name} FINALIZE"))
        elif connection.execute(_ATTACHED, {"name": name}).scalar_one():
            connection.execute(text(f"ALTER TABLE embeddings DETACH PARTITION {name} CONCURRENTLY"))
    _patiently(engine, f"DROP TABLE IF EXISTS {name}", waiting)


def _patiently(engine: Engine, statement: str, waiting: Callable[[str], None]) -> None:
    while True:
        try:
            with engine.begin() as connection:
                connection.execute(_VERY_BRIEFLY)
                connection.execute(text(statement))
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
            waiting("long-running queries on images; the disk space is freed when they have ended")
            time.sleep(0.5)
        else:
            return


def drop_tags(engine: Engine, space: int) -> Iterator[int]:
    """Delete the tags of a space that no process writes into, a few thousand per transaction.

    Yields:
        How many tags were deleted, after each transaction.
    """
    after: int | None = 0
    while after is not None:
        with engine.begin() as connection:
            without_time_limit(connection)
            row = connection.execute(_DROP_TAGS, {"space": space, "after": after, "limit": _TAGS_AT_ONCE}).one()
            after = row.last
            if after is None and connection.execute(_TAGS_LEFT, {"space": space}).scalar_one():
                after = 0
        if row.tags:
            yield row.tags
        elif after is not None:
            time.sleep(0.2)  # what is left was locked


def without_time_limit(connection: Connection) -> None:
    """Remove the time limit from this transaction's statements, for counts over a whole catalog."""
    connection.execute(_NO_TIME_LIMIT)


@contextmanager
def unlimited(engine: Engine) -> Iterator[Connection]:
    """A separate connection, for statements that take hours and cannot run in a transaction."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET lock_timeout = 0"))
        try:
            yield connection
        finally:
            connection.invalidate()  # with its settings and advisory locks
