"""Embedding spaces, and which of them is active."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import text

from worker.catalog.partitions import create_partition, without_time_limit
from worker.catalog.space_counters import counted_or_counting
from worker.db import Connection
from worker.types import ObjectRef, SpaceSpec

#: filling: written besides the active one, but not read; retired: kept as it is, no longer written.
State: TypeAlias = Literal["filling", "active", "retired"]

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('enrich space', 0))")
# Not a lock on the row: those who share one come before who waits to change it, without end where they are many.
_HOLD_ACTIVE = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('enrich active space', 0))")
_CHANGE_ACTIVE = text("SELECT pg_advisory_xact_lock(hashtextextended('enrich active space', 0))")
_COLUMNS = "id, state, dimension, model, revision, preprocessing, source"
_BY_FINGERPRINT = text(f"SELECT {_COLUMNS} FROM spaces WHERE fingerprint = :fingerprint")  # noqa: S608  # constants
_BY_NUMBER = text(f"SELECT {_COLUMNS} FROM spaces WHERE id = :id AND state <> 'dropped'")  # noqa: S608
_HOLD = text("SELECT id FROM spaces WHERE id = :id AND state <> 'dropped' FOR KEY SHARE")
_SERVED = text("""
    SELECT id FROM spaces WHERE state = 'active' OR (state = 'filling' AND activated_at IS NOT NULL) ORDER BY id
""")
_WAS_DROPPED = text("SELECT EXISTS (SELECT FROM spaces WHERE id = :id AND state = 'dropped')")
_ALL = text(f"SELECT {_COLUMNS} FROM spaces WHERE state <> 'dropped' ORDER BY id")  # noqa: S608
_FILLED = """
    SELECT s.id, s.state, s.dimension, s.model, s.revision, s.source, s.made_with, n.images, n.from_previews, n.waiting,
           n.failed, s.preview_parity,
           coalesce((SELECT x.indisvalid FROM pg_index x WHERE x.indexrelid = to_regclass(
               'embeddings_' || s.id || '_hnsw')), false) AS indexed,
           coalesce(pg_total_relation_size(to_regclass('embeddings_' || s.id)), 0)::bigint AS bytes
    FROM spaces s, LATERAL ({counts}) AS n WHERE s.state <> 'dropped' ORDER BY s.id
"""
_MISSING = text("""
    SELECT count(*) FROM images i
    WHERE (CAST(:before AS timestamptz) IS NULL OR i.enriched_at <= :before)
      AND NOT EXISTS (SELECT FROM embeddings e WHERE e.space_id = :id AND e.image_id = i.id
                      AND NOT (:replacing AND e.from_preview))
      AND NOT EXISTS (SELECT FROM owed_vectors o
                      WHERE o.space_id = :id AND o.image_id = i.id AND o.visible_at = 'infinity')
""")
_DEMOTE = text("UPDATE spaces SET state = 'filling' WHERE state = 'active' AND id <> :id")
_ACTIVATE = text("""
    UPDATE spaces SET state = 'active', activated_at = now() WHERE id = :id AND state IN ('filling', 'retired')
""")
_SET_STATE = text("UPDATE spaces SET state = :state WHERE id = :id AND state NOT IN ('active', 'dropped', :state)")
_NOTE_PARITY = text("""
    UPDATE spaces SET preview_parity = CAST(:found AS jsonb) || jsonb_build_object('at', now()) WHERE id = :id
""")
_SAMPLE_OF_PREVIEWS = text("""
    SELECT i.id, i.bucket, i.key, encode(i.sha256, 'hex') AS sha256
    FROM (SELECT image_id FROM embeddings WHERE space_id = :id AND from_preview
          ORDER BY hashint8(image_id), image_id LIMIT :limit) AS e
    JOIN images i ON i.id = e.image_id
""")
_SET_SOURCE = text("UPDATE spaces SET source = :source WHERE id = :id AND source IS NULL")
_CLEAR_QUEUE = text("DELETE FROM owed_vectors WHERE space_id = :id")
# The fingerprint is a key: changing it waits for everybody who writes into the space, see `write`.
_BURY = text("UPDATE spaces SET state = 'dropped', fingerprint = 'dropped ' || id WHERE id = :id AND state <> 'active'")
_FORGET_GOLDEN = text("DELETE FROM golden_vectors WHERE space_id = :id")
_INSERT = text(f"""
    INSERT INTO spaces (fingerprint, model, revision, preprocessing, dimension, source, state, activated_at)
    SELECT :fingerprint, :model, :revision, :preprocessing, :dimension, :source,
           CASE WHEN active THEN 'filling' ELSE 'active' END, CASE WHEN active THEN NULL ELSE now() END
    FROM (SELECT EXISTS (SELECT FROM spaces WHERE state = 'active') AS active) AS others
    RETURNING {_COLUMNS}
""")  # noqa: S608  # constants


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A row of ``spaces``."""

    id: int
    state: State
    dimension: int
    model: str
    revision: str
    preprocessing: str
    source: str | None  # where its model is loaded from: what ENRICH_MODEL named when the space was made

    @property
    def spec(self) -> SpaceSpec:
        return SpaceSpec(
            model=self.model, revision=self.revision, preprocessing=self.preprocessing, dimension=self.dimension
        )


def space_of(connection: Connection, spec: SpaceSpec) -> Space | None:
    """A model's space; None if nothing was ever embedded with it."""
    row = connection.execute(_BY_FINGERPRINT, {"fingerprint": spec.fingerprint}).one_or_none()
    return None if row is None else Space(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def space(connection: Connection, number: int) -> Space | None:
    """The space with this number, unless it was dropped."""
    row = connection.execute(_BY_NUMBER, {"id": number}).one_or_none()
    return None if row is None else Space(**row._mapping)  # noqa: SLF001


def hold(connection: Connection, number: int) -> bool:
    """Whether a space exists; it cannot be dropped while the transaction lasts. Waits for a drop under way."""
    return connection.execute(_HOLD, {"id": number}).one_or_none() is not None


def hold_active(connection: Connection) -> None:
    """Keep the active space unchanged while the transaction lasts. Waits for an activation under way."""
    connection.execute(_HOLD_ACTIVE)


def all_spaces(connection: Connection) -> list[Space]:
    """All spaces, oldest first, without those that were dropped."""
    return [Space(**row._mapping) for row in connection.execute(_ALL)]  # noqa: SLF001


def active(connection: Connection) -> Space | None:
    """The active space; None while nothing was ever embedded."""
    return next((each for each in all_spaces(connection) if each.state == "active"), None)


def served(connection: Connection) -> list[int]:
    """Spaces that are active, or were and are kept up to date: no vector should be missing in them."""
    return list(connection.execute(_SERVED).scalars())


def ensure(connection: Connection, spec: SpaceSpec, *, source: str | None = None) -> Space:
    """The space of ``spec``, created with its partition if necessary.

    The first space of a catalog becomes active, with its index; a later one starts as filling and gets its index when
    it is full. Concurrent callers wait for each other. Locks that stop writers are held for an instant, and waited for
    only briefly: then the statement fails with ``lock_not_available`` (see ``is_lock_timeout``) and may be repeated.
    """
    found = space_of(connection, spec)
    if found is None:
        connection.execute(_LOCK)
        found = space_of(connection, spec) or _create(connection, spec, source)
    if source is not None and found.source is None:
        connection.execute(_SET_SOURCE, {"id": found.id, "source": source})
    return found


def _create(connection: Connection, spec: SpaceSpec, source: str | None) -> Space:
    row = connection.execute(
        _INSERT,
        {
            "fingerprint": spec.fingerprint,
            "model": spec.model,
            "revision": spec.revision,
            "preprocessing": spec.preprocessing,
            "dimension": spec.dimension,
            "source": source,
        },
    ).one()
    made = Space(**row._mapping)  # noqa: SLF001
    create_partition(connection, made.id)
    return made


@dataclass(frozen=True, kw_only=True, slots=True)
class FilledSpace:
    """A space and how far it is filled."""

    id: int
    state: State
    dimension: int
    model: str
    revision: str
    source: str | None
    images: int  # that have a vector in it
    from_previews: int  # of these, those whose vector was made from their preview
    waiting: int  # that wait for a vector in it, as far as they were found
    failed: int  # that its model could not embed
    indexed: bool  # whether searches in it use an index
    bytes: int  # on disk, with indexes
    made_with: dict[str, str] | None  # device, number format and libraries of its golden vectors
    preview_parity: dict[str, Any] | None  # how these vectors compared with those of originals; see ``spaces.parity``


def fill_levels(connection: Connection) -> list[FilledSpace]:
    """All spaces, oldest first. Reads counters; counts vectors only until those that were there before are counted."""
    without_time_limit(connection)
    counts = counted_or_counting(connection)
    return [FilledSpace(**row._mapping) for row in connection.execute(text(_FILLED.format(counts=counts)))]  # noqa: SLF001


def missing_in(
    connection: Connection, space_id: int, *, before: datetime | None = None, replacing_previews: bool = False
) -> int:
    """How many vectors are missing in a space, not counting images that its model could not embed.

    Args:
        connection: open.
        space_id: which one.
        before: count images that were enriched up to this moment only.
        replacing_previews: count vectors that were made from previews as missing.
    """
    without_time_limit(connection)
    given = {"id": space_id, "before": before, "replacing": replacing_previews}
    return int(connection.execute(_MISSING, given).scalar_one())


def note_parity(connection: Connection, space_id: int, found: Mapping[str, Any]) -> None:
    """Keep how vectors of previews compare with those of originals, and add when that was measured."""
    connection.execute(_NOTE_PARITY, {"id": space_id, "found": json.dumps(found)})


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewedImage:
    """An image whose vector was made from its preview."""

    id: int
    ref: ObjectRef
    sha256: str  # of the bytes that the catalog describes


def sample_of_previews(connection: Connection, space_id: int, *, limit: int) -> list[PreviewedImage]:
    """Images whose vector was made from their preview: all, or ``limit`` of them, the same at every call."""
    without_time_limit(connection)
    rows = connection.execute(_SAMPLE_OF_PREVIEWS, {"id": space_id, "limit": limit})
    return [PreviewedImage(id=row.id, ref=ObjectRef(bucket=row.bucket, key=row.key), sha256=row.sha256) for row in rows]


def was_dropped(connection: Connection, number: int) -> bool:
    """Whether a space was dropped; parts of it may remain if that was interrupted."""
    return bool(connection.execute(_WAS_DROPPED, {"id": number}).scalar_one())


def activate(connection: Connection, space_id: int) -> bool:
    """Make a space the active one; views, searches and tag filters change when this commits.

    The one before goes on being filled, so that going back needs nothing but another call.

    Returns:
        False if there is no such space, or not any more: nothing was done.
    """
    connection.execute(_LOCK)
    if space(connection, space_id) is None:
        return False
    connection.execute(_CHANGE_ACTIVE)
    connection.execute(_DEMOTE, {"id": space_id})
    connection.execute(_ACTIVATE, {"id": space_id})
    return True


def refill(connection: Connection, space_id: int) -> None:
    """Embed new images in a retired space again."""
    connection.execute(_SET_STATE, {"id": space_id, "state": "filling"})


def retire(connection: Connection, space_id: int) -> bool:
    """Stop embedding new images in a space, and keep what it has.

    Returns:
        False if it is the active one: nothing was done.
    """
    connection.execute(_LOCK)
    current = space(connection, space_id)
    if current is None or current.state == "active":
        return False
    connection.execute(_SET_STATE, {"id": space_id, "state": "retired"})
    connection.execute(_CLEAR_QUEUE, {"id": space_id})
    return True


def mark_dropped(connection: Connection, space_id: int) -> bool:
    """Mark a space as dropped. Once this commits, nothing is written into it; its vectors and tags still exist.

    Returns:
        False if it is the active one: nothing was done.
    """
    connection.execute(_LOCK)
    if connection.execute(_BURY, {"id": space_id}).rowcount == 0:
        return False
    connection.execute(_CLEAR_QUEUE, {"id": space_id})
    connection.execute(_FORGET_GOLDEN, {"id": space_id})
    return True
