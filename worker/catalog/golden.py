"""Golden vectors: what a space's model produced for fixed pictures and texts, stored for comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection
from worker.types import Floats

_READ = text("SELECT name, vector, pixels FROM golden_vectors WHERE space_id = :space ORDER BY name")
_MADE_WITH = text("SELECT made_with FROM spaces WHERE id = :space")
_WRITE = text("""
    INSERT INTO golden_vectors (space_id, name, vector, pixels) VALUES (:space, :name, :vector, :pixels)
    ON CONFLICT (space_id, name) DO NOTHING
""")
_NOTE = text("UPDATE spaces SET made_with = CAST(:made_with AS jsonb) WHERE id = :space AND made_with IS NULL")
_LOCK = text("SELECT id FROM spaces WHERE id = :space AND state <> 'dropped' FOR NO KEY UPDATE")
_FORGET = text("DELETE FROM golden_vectors WHERE space_id = :space")
_UNNOTE = text("UPDATE spaces SET made_with = NULL WHERE id = :space")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GoldenItem:
    """One picture or text."""

    name: str
    vector: Floats  # [d], unit length
    pixels: bytes | None  # the prepared picture, packed; None for texts


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenSet:
    """A space's golden vectors, and what produced them: device, number format and libraries, with versions."""

    made_with: Mapping[str, str]
    entries: tuple[GoldenItem, ...]


def load(connection: Connection, space: int) -> GoldenSet | None:
    """A space's golden vectors; None if there are none."""
    import numpy as np

    rows = connection.execute(_READ, {"space": space}).all()
    if not rows:
        return None
    entries = tuple(
        GoldenItem(
            name=row.name,
            vector=np.asarray(row.vector, dtype=np.float32),
            pixels=None if row.pixels is None else bytes(row.pixels),
        )
        for row in rows
    )
    return GoldenSet(made_with=connection.execute(_MADE_WITH, {"space": space}).scalar_one() or {}, entries=entries)


def save(connection: Connection, space: int, entries: Sequence[GoldenItem], made_with: Mapping[str, str]) -> GoldenSet:
    """Store these unless there are some already.

    Returns:
        What is kept now: of several callers, all see what the first of them made. For a dropped space, nothing is.
    """
    ours = GoldenSet(made_with=dict(made_with), entries=tuple(entries))
    if connection.execute(_LOCK, {"space": space}).one_or_none() is None:
        return ours
    known = load(connection, space)
    if known is not None:
        return known
    connection.execute(
        _WRITE,
        [
            {"space": space, "name": each.name, "vector": each.vector.tolist(), "pixels": each.pixels}
            for each in entries
        ],
    )
    connection.execute(_NOTE, {"space": space, "made_with": json.dumps(dict(made_with))})
    return ours


def delete(connection: Connection, space: int) -> None:
    """Delete a space's golden vectors; the next model that serves it stores its own."""
    connection.execute(_LOCK, {"space": space})
    connection.execute(_FORGET, {"space": space})
    connection.execute(_UNNOTE, {"space": space})
