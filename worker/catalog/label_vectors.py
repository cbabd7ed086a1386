"""Label vectors: stored per space and taxonomy version, and searched with an index.

A set is what one version of a taxonomy has in one space. It is filled in several transactions, and searched once it is
complete; then the set of the version before goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.partitions import unlimited
from worker.catalog.search import iterate
from worker.catalog.spaces import Space, hold
from worker.catalog.write import literal
from worker.db import Connection, Engine
from worker.types import Floats

#: One process fills a space's sets at a time. Ends with the session, so a process that dies leaves it to the next.
_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended('enrich labels', :space))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended('enrich labels', :space))")
_BEGIN = text("""
    INSERT INTO label_sets (space_id, taxonomy, version)
    SELECT :space, t.name, t.version FROM taxonomies t WHERE t.name = :taxonomy AND t.version = :version
    ON CONFLICT (space_id, taxonomy, version) DO NOTHING
""")
_SETS = text("""
    SELECT id, taxonomy, version, labels, ready_at IS NOT NULL AS ready FROM label_sets
    WHERE space_id = :space ORDER BY taxonomy, id
""")
_STORED = text("SELECT DISTINCT label FROM label_vectors WHERE set_id = :set")
_HOLD = text("SELECT id FROM label_sets WHERE id = :set FOR KEY SHARE")
_STORE = text("""
    INSERT INTO label_vectors (set_id, space_id, label, text, ranks, vector)
    SELECT :set, :space, v.label, v.text, v.ranks, CAST(v.vector AS halfvec)
    FROM unnest(CAST(:labels AS text[]), CAST(:texts AS text[]), CAST(:ranks AS boolean[]), CAST(:vectors AS text[]))
        AS v (label, text, ranks, vector)
    ON CONFLICT DO NOTHING
""")
_COUNT = text("""
    UPDATE label_sets SET labels = (SELECT count(DISTINCT label) FROM label_vectors WHERE set_id = :set) WHERE id = :set
""")
_READY = text("UPDATE label_sets SET ready_at = now() WHERE id = :set AND ready_at IS NULL")
_FORGET = text("DELETE FROM label_sets WHERE space_id = :space AND id <> ALL(CAST(:kept AS integer[]))")
_VECTORS = text("""
    SELECT CAST(CAST(vector AS vector) AS real[]) FROM label_vectors WHERE set_id = :set AND label = :label AND ranks
""")
_MAKE_INDEX = text("SELECT make_label_index(:space)")
_INDEXED = text("SELECT to_regclass(:name) IS NOT NULL")

#: Rows read at first per requested label: with ``aggregate: max`` several may belong to one label.
_ROWS_PER_LABEL = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSet:
    """A taxonomy version's labels in a space."""

    id: int
    taxonomy: str
    version: str
    labels: int  # that have their vectors
    ready: bool  # all of them


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelVector:
    """A row to store."""

    label: str
    text: str | None
    ranks: bool
    vector: Floats  # [d], unit length


@dataclass(frozen=True, kw_only=True, slots=True)
class NearLabel:
    """A label and its similarity."""

    taxonomy: str
    version: str
    label: str
    text: str | None  # which of its texts; None: the mean of them
    similarity: float  # cosine, -1..1


# -- filling -----------------------------------------------------------------------------------------------------------
def lock_labels(connection: Connection, space_id: int) -> bool:
    """Lock the filling of a space's sets, until ``unlock_labels`` or the end of the session."""
    return bool(connection.execute(_LOCK, {"space": space_id}).scalar_one())


def unlock_labels(connection: Connection, space_id: int) -> None:
    """Release that lock."""
    connection.execute(_UNLOCK, {"space": space_id})


def begin_label_set(connection: Connection, space_id: int, taxonomy: str, version: str) -> LabelSet | None:
    """Create a set unless it exists; None if the space or the taxonomy was dropped."""
    if not hold(connection, space_id):
        return None
    connection.execute(_BEGIN, {"space": space_id, "taxonomy": taxonomy, "version": version})
    of_space = label_sets(connection, space_id)
    return next((each for each in of_space if (each.taxonomy, each.version) == (taxonomy, version)), None)


def label_sets(connection: Connection, space_id: int) -> list[LabelSet]:
    """All sets of a space, by taxonomy."""
    return [LabelSet(**row._mapping) for row in connection.execute(_SETS, {"space": space_id})]  # noqa: SLF001


def stored_labels(connection: Connection, set_id: int) -> set[str]:
    """The labels of a set that have their vectors."""
    return set(connection.execute(_STORED, {"set": set_id}).scalars())


def store_labels(connection: Connection, space_id: int, set_id: int, rows: Sequence[LabelVector]) -> bool:
    """Store all rows of some labels; existing ones stay. False if the set has been dropped."""
    if connection.execute(_HOLD, {"set": set_id}).one_or_none() is None:
        return False
    connection.execute(
        _STORE,
        {
            "set": set_id,
            "space": space_id,
            "labels": [row.label for row in rows],
            "texts": [row.text for row in rows],
            "ranks": [row.ranks for row in rows],
            "vectors": [literal(row.vector) for row in rows],
        },
    )
    connection.execute(_COUNT, {"set": set_id})
    return True


def finish_label_set(connection: Connection, set_id: int) -> bool:
    """Mark a set as complete, so that it is searched. Returns whether this changed anything."""
    return bool(connection.execute(_READY, {"set": set_id}).rowcount)


def forget_label_sets(connection: Connection, space_id: int, *, but: Sequence[int]) -> None:
    """Drop all other sets of a space."""
    connection.execute(_FORGET, {"space": space_id, "kept": list(but)})


def index_labels(connection: Connection, space: Space) -> None:
    """Create the space's index unless it exists. Searches continue meanwhile; storing labels waits."""
    if not hold(connection, space.id):
        return
    if not connection.execute(_INDEXED, {"name": _index(space.id)}).scalar_one():
        connection.execute(_MAKE_INDEX, {"space": space.id})


def drop_label_index(engine: Engine, space: int) -> None:
    """Drop the index of a space that was dropped: its labels went with it. Nobody waits."""
    with unlimited(engine) as connection:
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {_index(space)}"))


def _index(space: int) -> str:
    return f"label_vectors_{int(space)}_hnsw"


# -- searching ---------------------------------------------------------------------------------------------------------
def nearest_labels(
    connection: Connection, space: Space, vector: Floats, *, sets: Sequence[LabelSet], limit: int
) -> list[NearLabel]:
    """The labels in these sets nearest to ``vector`` ([d], unit length), best first, each once."""
    by_id = {each.id: each for each in sets}
    wanted, exact = limit * _ROWS_PER_LABEL, False
    while True:
        iterate(connection, wanted)
        parameters = {"vector": literal(vector), "sets": list(by_id), "limit": wanted}
        rows = connection.execute(text(nearest_labels_query(space, exact=exact)), parameters).all()
        found: dict[tuple[int, str], NearLabel] = {}
        for row in rows:
            near = by_id[row.set_id]
            found.setdefault(
                (row.set_id, row.label),
                NearLabel(
                    taxonomy=near.taxonomy,
                    version=near.version,
                    label=row.label,
                    text=row.text,
                    similarity=row.similarity,
                ),
            )
        ended = len(rows) < wanted
        if len(found) >= limit or (ended and (exact or len(found) >= sum(each.labels for each in sets))):
            return list(found.values())[:limit]
        # The index gives up after hnsw.max_scan_tuples: labels of a small set may all lie behind that.
        wanted, exact = wanted * 4, exact or ended


def nearest_labels_query(space: Space, *, exact: bool = False) -> str:
    """The query of ``nearest_labels``; unless ``exact``, its condition and order match the space's index."""
    distance = f"(v.vector::halfvec({space.dimension}) <#> CAST(:vector AS halfvec({space.dimension})))"
    return f"""
        SELECT v.set_id, v.label, v.text, -{distance} AS similarity FROM label_vectors v
        WHERE v.space_id = {space.id} AND v.ranks AND v.set_id = ANY(CAST(:sets AS integer[]))
        ORDER BY {distance}{" + 0" if exact else ""} LIMIT :limit
    """  # noqa: S608  # integers and the text above


def label_vectors(connection: Connection, set_id: int, label: str) -> list[Floats]:
    """The vectors by which a label is found, ``[d]`` each; empty if it has none."""
    import numpy as np

    rows = connection.execute(_VECTORS, {"set": set_id, "label": label}).scalars()
    return [np.array(row, dtype=np.float32) for row in rows]
