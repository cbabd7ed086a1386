"""Bulk reads of vectors and tags as arrays, by binary COPY with rows of equal length.

Parsed by numpy, a row costs nanoseconds; as Python objects, 20,000 images would cost a second.
Formats: postgresql.org/docs/18/sql-copy.html, "Binary Format"; halfvec's send function in pgvector 0.8.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from worker.catalog.in_force import ANSWER, BESIDE
from worker.catalog.spaces import Space
from worker.db import Connection
from worker.types import MODEL_SOURCES, Floats

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = len(_SIGNATURE) + 8  # flags, and the length of an extension that there is not
_TRAILER = 2

# The row's transaction tells later whether the vector is still the one that was read.
_VECTORS = """
    SELECT image_id, CAST(CAST(xmin AS text) AS bigint), vector FROM embeddings_{space}
    WHERE {which} ORDER BY image_id {limit}
"""
# No label is an empty text.
_TAGS = """
    SELECT t.image_id, t.id, coalesce(a.number, -1), coalesce(t.taxonomy_version = a.version, false),
           coalesce(t.score, 'NaN'), coalesce(t.probability, 'NaN'),
           coalesce(array_position(%(sources)s::text[], t.source), 0) - 1
    FROM tags t
    LEFT JOIN unnest(%(taxonomies)s::text[], %(labels)s::text[], %(versions)s::text[], %(numbers)s::integer[])
        AS a (taxonomy, label, version, number) ON a.taxonomy = t.taxonomy AND a.label = coalesce(t.label, '')
    WHERE t.space_id = %(space)s AND {which}
"""
_DECIDED = "SELECT t.image_id, t.taxonomy, t.label, t.source FROM tags t WHERE t.space_id IS NULL AND {which}"
_STRANGERS = text("SELECT id, taxonomy, label FROM tags WHERE id = ANY(CAST(:ids AS bigint[]))")
_BOUNDS = "SELECT coalesce(min(image_id), 0), coalesce(max(image_id), 0) FROM embeddings_{space}"
_ESTIMATE = text("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass(:name)")
_COUNT = "SELECT count(*) FROM embeddings_{space}"
_EXIST = """
    SELECT e.image_id FROM unnest(CAST(:ids AS bigint[])) AS p (id) JOIN embeddings_{space} e ON e.image_id = p.id
"""
# A full scan that keeps ``size`` rows: as random as the hash, and the same each time.
_SCATTERED = "SELECT image_id FROM embeddings_{space} ORDER BY hashint8extended(image_id, :seed), image_id LIMIT :size"
#: If a smaller share of the drawn ids belongs to images, drawing takes longer than a full scan.
_SPARSE = 0.02
#: Above this many vectors they are not counted but estimated.
_COUNTED = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TagColumns:
    """k tags, one array for each column."""

    images: npt.NDArray[np.intp]  # row of the image in its block
    ids: npt.NDArray[np.int64]
    answers: npt.NDArray[np.intp]  # number of (taxonomy, label)
    current: npt.NDArray[np.bool_]  # whether the version is the one asked for
    score: Floats
    probability: Floats
    sources: npt.NDArray[np.int8]  # indices into ``MODEL_SOURCES``


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecidedColumns:
    """What people's decisions hide: k pairs of an image and a model's answer, one array for each column."""

    images: npt.NDArray[np.intp]  # row of the image in its block
    answers: npt.NDArray[np.intp]  # number of (taxonomy, label)
    whole: npt.NDArray[np.bool_]  # whether every answer of the taxonomy is hidden


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """n images of a space, in one snapshot."""

    images: npt.NDArray[np.int64]  # ascending
    written: npt.NDArray[np.int64]  # the transaction that wrote the vector
    vectors: Floats  # [n, d]
    tags: TagColumns  # a model's, of this space
    decided: DecidedColumns  # people's decisions hide a model's tags there


class Numbering(Protocol):
    """Numbers answers: pairs of a taxonomy and a label, or None for "none of these"."""

    answers: list[tuple[str, str | None]]

    def number(self, taxonomy: str, label: str | None) -> int:
        """The answer's number; a new one if it has none."""
        ...


def read_after(
    connection: Connection, space: Space, after: int, *, limit: int, numbering: Numbering, versions: Mapping[str, str]
) -> Block:
    """The next images behind ``after``; an empty block at the end.

    Args:
        connection: in a transaction that is REPEATABLE READ, so that vectors and tags are of one moment.
        space: whose vectors and tags.
        after: number of an image.
        limit: most images.
        numbering: of answers; gets to know those it does not.
        versions: taxonomy → version that is called current.
    """
    which = _bound(connection, "image_id > %(after)s", after=after)
    return _read(connection, space, which, f"LIMIT {int(limit)}", numbering=numbering, versions=versions)


def read_images(
    connection: Connection, space: Space, images: Sequence[int], *, numbering: Numbering, versions: Mapping[str, str]
) -> Block:
    """Like ``read_after``, for these images."""
    which = _bound(connection, "image_id = ANY(%(images)s::bigint[])", images=list(images))
    return _read(connection, space, which, "", numbering=numbering, versions=versions)


def read_vectors(connection: Connection, space: Space, images: Sequence[int]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Those of the images that have a vector in the space, ascending, and their vectors, ``[n, d]``."""
    which = _bound(connection, "image_id = ANY(%(images)s::bigint[])", images=list(images))
    rows = _copied(
        connection, _VECTORS.format(space=int(space.id), which=which, limit=""), _vector_row(space.dimension)
    )
    return rows["image"].astype(np.int64), rows["vector"]["values"].astype(np.float32)


def read_tags(
    connection: Connection,
    space: Space,
    images: npt.NDArray[np.int64],
    *,
    taxonomy: str,
    numbering: Numbering,
    version: str | None,
) -> tuple[TagColumns, DecidedColumns]:
    """One taxonomy's tags of some images.

    Args:
        connection: in a transaction that is REPEATABLE READ, so that tags and decisions are of one moment.
        space: whose tags.
        images: their numbers, ascending.
        taxonomy: whose tags.
        numbering: of answers; gets to know those it does not.
        version: that is called current; None: none is.
    """
    versions = {} if version is None else {taxonomy: version}
    tags = _tags(connection, space, images, numbering, versions, only=taxonomy)
    return tags, _decided(connection, images, numbering, only=taxonomy)


def _read(
    connection: Connection, space: Space, which: str, limit: str, *, numbering: Numbering, versions: Mapping[str, str]
) -> Block:
    query = _VECTORS.format(space=int(space.id), which=which, limit=limit)
    rows = _copied(connection, query, _vector_row(space.dimension))
    images = rows["image"].astype(np.int64)
    return Block(
        images=images,
        written=rows["written"].astype(np.int64),
        vectors=rows["vector"]["values"].astype(np.float32),
        tags=_tags(connection, space, images, numbering, versions),
        decided=_decided(connection, images, numbering),
    )


def _tags(
    connection: Connection,
    space: Space,
    images: npt.NDArray[np.int64],
    numbering: Numbering,
    versions: Mapping[str, str],
    *,
    only: str | None = None,
) -> TagColumns:
    known = list(enumerate(numbering.answers))
    query = _bound(
        connection,
        _TAGS.format(which=_among(images) + ("" if only is None else " AND t.taxonomy = %(only)s")),
        only=only,
        taxonomies=[taxonomy for _, (taxonomy, _) in known],
        labels=[label or "" for _, (_, label) in known],
        versions=[versions.get(taxonomy) for _, (taxonomy, _) in known],
        numbers=[number for number, _ in known],
        space=space.id,
        sources=list(MODEL_SOURCES),
    )
    rows = _copied(connection, query, _TAG_ROW)
    rows = rows[np.isin(rows["image"].astype(np.int64), images)]
    ids, answers = rows["id"].astype(np.int64), rows["answer"].astype(np.intp)
    strangers = np.flatnonzero(answers < 0)
    if len(strangers):
        names = {row.id: row for row in connection.execute(_STRANGERS, {"ids": ids[strangers].tolist()})}
        found = (names[int(id_)] for id_ in ids[strangers])
        answers[strangers] = [numbering.number(row.taxonomy, row.label) for row in found]
    return TagColumns(
        images=np.searchsorted(images, rows["image"].astype(np.int64)),
        ids=ids,
        answers=answers,
        current=rows["current"] != 0,
        score=rows["score"].astype(np.float32),
        probability=rows["probability"].astype(np.float32),
        sources=rows["source"].astype(np.int8),
    )


def _decided(
    connection: Connection, images: npt.NDArray[np.int64], numbering: Numbering, *, only: str | None = None
) -> DecidedColumns:
    which = _among(images) + ("" if only is None else " AND t.taxonomy = :only")
    rows = connection.execute(text(_DECIDED.format(which=which)), {} if only is None else {"only": only}).all()
    hidden = [
        (row.image_id, numbering.number(row.taxonomy, label), row.source == ANSWER)
        for row in rows
        for label in _hides(row)
    ]
    of, answers, whole = (np.array([each[n] for each in hidden], dtype=np.int64) for n in range(3))
    ours = np.isin(of, images)
    return DecidedColumns(
        images=np.searchsorted(images, of[ours]), answers=answers[ours].astype(np.intp), whole=whole[ours] != 0
    )


def _hides(row: Any) -> tuple[str | None, ...]:
    """The labels of a model that a person's row hides; None: its abstention. See :mod:`worker.catalog.in_force`."""
    return (row.label, None) if row.source == BESIDE else (row.label,)


def _among(images: npt.NDArray[np.int64]) -> str:
    """A range if the ids are close together: it costs less than as many look-ups."""
    if not len(images):
        return "false"
    first, last = int(images[0]), int(images[-1])
    if last - first < 4 * len(images):
        return f"t.image_id BETWEEN {first} AND {last}"
    return f"t.image_id = ANY(ARRAY[{','.join(map(str, images.tolist()))}]::bigint[])"


# -- binary COPY -------------------------------------------------------------------------------------------------------
def _row(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    """Columns → a row of the binary format: the number of columns, then each after its length; all big-endian."""
    columns: list[Any] = [("columns", ">i2")]
    for field in fields:
        columns += [(f"length of {field[0]}", ">i4"), field]
    return np.dtype(columns)


def _vector_row(dimension: int) -> np.dtype[Any]:
    vector = np.dtype([("dimension", ">i2"), ("unused", ">i2"), ("values", ">f2", (dimension,))])
    return _row(("image", ">i8"), ("written", ">i8"), ("vector", vector))


_TAG_ROW = _row(
    ("image", ">i8"),
    ("id", ">i8"),
    ("answer", ">i4"),
    ("current", "u1"),
    ("score", ">f4"),
    ("probability", ">f4"),
    ("source", ">i4"),
)


def _copied(connection: Connection, query: str, row: np.dtype[Any]) -> npt.NDArray[Any]:
    out = io.BytesIO()
    with _cursor(connection) as cursor:
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", out)
    data = out.getbuffer()
    size = len(data) - _HEADER - _TRAILER
    if bytes(data[: len(_SIGNATURE)]) != _SIGNATURE or size % row.itemsize:
        raise ValueError("rows of another length than expected: a null, or a vector of another dimension")
    return np.frombuffer(data, dtype=row, count=size // row.itemsize, offset=_HEADER)


def _bound(connection: Connection, query: str, **values: Any) -> str:
    """The query with its values: COPY takes no parameters."""
    with _cursor(connection) as cursor:
        bound: bytes = cursor.mogrify(query, values)
    return bound.decode()


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


# -- samples -----------------------------------------------------------------------------------------------------------
def count_vectors(connection: Connection, space: int) -> tuple[int, bool]:
    """How many vectors a space has, and whether that is exact: very large numbers come from the last ANALYZE."""
    about = int(connection.execute(_ESTIMATE, {"name": f"embeddings_{int(space)}"}).scalar_one())
    if about > _COUNTED:
        return about, False
    return int(connection.execute(text(_COUNT.format(space=int(space)))).scalar_one()), True


def uniform_sample(connection: Connection, space: int, *, size: int, seed: int = 0) -> list[int]:
    """``size`` images of a space, each set of them equally likely; fewer only if there are fewer. Ascending.

    Numbers between the first and the last image are drawn, and kept if there is such an image: unlike a sample of
    pages, this is fair to images that were uploaded together. Where hardly any number is that of an image, all images
    are ordered by a hash of it instead.
    """
    lowest, highest = connection.execute(text(_BOUNDS.format(space=int(space)))).one()
    span = highest - lowest + 1
    random = np.random.default_rng(seed)
    found: list[int] = []
    drawn: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    while len(found) < size and len(drawn) < span:
        density = len(found) / len(drawn) if len(drawn) else 1.0
        if density < _SPARSE:
            scan = connection.execute(text(_SCATTERED.format(space=int(space))), {"seed": seed, "size": size})
            return sorted(scan.scalars())
        more = _new_numbers(random, drawn, span, int((size - len(found)) / density * 1.1) + 100)
        drawn = np.union1d(drawn, more)
        rows = connection.execute(text(_EXIST.format(space=int(space))), {"ids": (more + lowest).tolist()})
        found += rows.scalars()
    chosen = random.permutation(np.array(found, dtype=np.int64))[:size]
    return sorted(chosen.tolist())


def _new_numbers(
    random: np.random.Generator, drawn: npt.NDArray[np.int64], span: int, count: int
) -> npt.NDArray[np.int64]:
    if 4 * (len(drawn) + count) >= span:  # nearly all of them: draw from the rest
        left = np.setdiff1d(np.arange(span), drawn, assume_unique=True)
        return random.permutation(left)[:count]
    return np.setdiff1d(random.integers(0, span, count), drawn)
