"""Embedding spaces: one partition and one index each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text

from worker.db import Connection
from worker.types import SpaceSpec

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('enrich space', 0))")
_BY_FINGERPRINT = text("SELECT id, state, dimension, model, revision FROM spaces WHERE fingerprint = :fingerprint")
_ALL = text("SELECT id, state, dimension, model, revision FROM spaces ORDER BY id")
_FILLED = text("""
    SELECT s.id, s.state, s.dimension, s.model, s.revision,
           (SELECT count(*) FROM embeddings e WHERE e.space_id = s.id) AS images
    FROM spaces s ORDER BY s.id
""")
_MISSING = text("""
    SELECT count(*) FROM images i
    WHERE NOT EXISTS (SELECT FROM embeddings e WHERE e.space_id = :id AND e.image_id = i.id)
""")
_RETIRE = text("UPDATE spaces SET state = 'retired' WHERE state = 'active' AND id <> :id")
_ACTIVATE = text("UPDATE spaces SET state = 'active', activated_at = now() WHERE id = :id AND state <> 'active'")
_INSERT = text("""
    INSERT INTO spaces (fingerprint, model, revision, preprocessing, dimension, state, activated_at)
    SELECT :fingerprint, :model, :revision, :preprocessing, :dimension,
           CASE WHEN active THEN 'filling' ELSE 'active' END, CASE WHEN active THEN NULL ELSE now() END
    FROM (SELECT EXISTS (SELECT FROM spaces WHERE state = 'active') AS active) AS others
    RETURNING id, state, dimension, model, revision
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A row of ``spaces``."""

    id: int
    state: Literal["filling", "active", "retired"]
    dimension: int
    model: str
    revision: str


def space_of(connection: Connection, spec: SpaceSpec) -> Space | None:
    """The space a model's vectors live in, or None if nothing was ever embedded with it."""
    row = connection.execute(_BY_FINGERPRINT, {"fingerprint": spec.fingerprint}).one_or_none()
    return None if row is None else Space(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def spaces(connection: Connection) -> list[Space]:
    """All spaces, oldest first."""
    return [Space(**row._mapping) for row in connection.execute(_ALL)]  # noqa: SLF001


def ensure_space(connection: Connection, spec: SpaceSpec) -> Space:
    """The space of ``spec``, created with its partition and index if need be.

    The first space of a catalog becomes active; a later one starts as filling, so that search and the views go on
    answering from the active one. Concurrent callers wait for each other.
    """
    found = space_of(connection, spec)
    if found is not None:
        return found
    connection.execute(_LOCK)
    return space_of(connection, spec) or _create(connection, spec)


def _create(connection: Connection, spec: SpaceSpec) -> Space:
    row = connection.execute(
        _INSERT,
        {
            "fingerprint": spec.fingerprint,
            "model": spec.model,
            "revision": spec.revision,
            "preprocessing": spec.preprocessing,
            "dimension": spec.dimension,
        },
    ).one()
    space = Space(**row._mapping)  # noqa: SLF001
    # Identifiers and dimensions are integers from the row just inserted; DDL takes no bind parameters.
    partition, dimension = f"embeddings_{space.id}", space.dimension
    connection.execute(
        text(
            f"CREATE TABLE {partition} PARTITION OF embeddings "
            f"(CONSTRAINT {partition}_dimension CHECK (vector_dims(vector) = {dimension})) "
            f"FOR VALUES IN ({space.id})"
        )
    )
    # Unit vectors: the inner product orders as the cosine does and costs less.
    connection.execute(
        text(f"CREATE INDEX {partition}_hnsw ON {partition} USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops)")
    )
    return space


@dataclass(frozen=True, kw_only=True, slots=True)
class FilledSpace:
    """A space, and how many images have a vector in it."""

    id: int
    state: Literal["filling", "active", "retired"]
    dimension: int
    model: str
    revision: str
    images: int


def filled_spaces(connection: Connection) -> list[FilledSpace]:
    """All spaces, oldest first. Counts vectors: for people, not for hot paths."""
    return [FilledSpace(**row._mapping) for row in connection.execute(_FILLED)]  # noqa: SLF001


def missing_in(connection: Connection, space_id: int) -> int:
    """How many images of the catalog have no vector in a space."""
    return int(connection.execute(_MISSING, {"id": space_id}).scalar_one())


def activate(connection: Connection, space_id: int) -> None:
    """Make a space the active one and retire the other; views and tag filters change when this commits."""
    connection.execute(_LOCK)
    connection.execute(_RETIRE, {"id": space_id})
    connection.execute(_ACTIVATE, {"id": space_id})
