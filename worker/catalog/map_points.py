"""The points of maps: images, places and distances, many in a row of the table, read as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from worker.catalog.spaces import Space
from worker.db import Connection
from worker.types import Floats

Images = npt.NDArray[np.int64]

#: Points in a row: half a megabyte of image numbers.
_CHUNK: Final = 65_536
_WRITE = text("""
    INSERT INTO map_chunks (map_id, first, images, places, distances)
    VALUES (:map, :first, :images, :places, :distances)
""")
_READ = "SELECT first, {column} AS data FROM map_chunks WHERE map_id = :map AND first < :count ORDER BY first"
_IMAGES_OF = text("""
    SELECT p.point, substring(c.images FROM (p.point - c.first) * 8 + 1 FOR 8) AS image
    FROM unnest(CAST(:points AS integer[])) AS p (point)
    JOIN map_chunks c ON c.map_id = :map AND c.first = (
        SELECT max(o.first) FROM map_chunks o WHERE o.map_id = :map AND o.first <= p.point)
""")
_ALIVE = text("SELECT id FROM images WHERE id = ANY(CAST(:images AS bigint[]))")
#: How many bytes a point has in each column.
_BYTES = {"images": 8, "places": 4, "distances": 1}
_Column = Literal["images", "places", "distances"]

# The binary format of COPY: a signature, flags, the length of an extension; rows; two bytes.
_HEAD, _TAIL = 19, 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Points:
    """n points."""

    images: Images  # [n]
    grid: npt.NDArray[np.uint16]  # [n, 2]
    distances: Floats  # [n]: mean cosine distance of the fitted neighbours; kept in steps of 1/255, up to 1


def write(connection: Connection, number: int, points: Points, *, first: int = 0) -> None:
    """Write points of a map, the first of which has the number ``first``."""
    steps = np.rint(np.clip(points.distances, 0, 1) * 255).astype(np.uint8)
    for start in range(0, len(points.images), _CHUNK):
        part = slice(start, start + _CHUNK)
        chunk = {
            "map": number,
            "first": first + start,
            "images": points.images[part].astype("<i8").tobytes(),
            "places": points.grid[part].astype("<u2").tobytes(),
            "distances": steps[part].tobytes(),
        }
        connection.execute(_WRITE, chunk)


def raw(connection: Connection, number: int, column: _Column, *, count: int) -> bytes:
    """A column of the first ``count`` points of a map, as it is kept."""
    rows = connection.execute(text(_READ.format(column=column)), {"map": number, "count": count})
    return b"".join(bytes(row.data) for row in rows)[: count * _BYTES[column]]


def images(connection: Connection, number: int, *, count: int) -> Images:
    """``[count]``: the images of the first points of a map."""
    return np.frombuffer(raw(connection, number, "images", count=count), "<i8").astype(np.int64)


def grid(connection: Connection, number: int, *, count: int) -> npt.NDArray[np.uint16]:
    """``[count, 2]``: the places of the first points of a map."""
    return np.frombuffer(raw(connection, number, "places", count=count), "<u2").astype(np.uint16).reshape(-1, 2)


def images_of(connection: Connection, number: int, points: Sequence[int]) -> dict[int, int]:
    """Point → its image, of points that a map has."""
    rows = connection.execute(_IMAGES_OF, {"map": number, "points": list(points)})
    return {row.point: int.from_bytes(row.image, "little") for row in rows}


def alive(connection: Connection, images: Sequence[int]) -> list[int]:
    """Those of the images that are in the catalog."""
    return list(connection.execute(_ALIVE, {"images": list(images)}).scalars())


def embedded(connection: Connection, space: Space) -> Images:
    """The images that have a vector in a space, ascending."""
    query = f"SELECT image_id FROM embeddings_{int(space.id)}"  # noqa: S608  # an integer
    found: Images = np.sort(copied(connection, query, ("image", ">i8"))["image"])
    return found


def vectors_after(connection: Connection, space: Space, after: int, *, limit: int) -> tuple[Images, Floats]:
    """The next images behind ``after`` that have a vector, and the vectors, ``[n, d]``; none at the end."""
    query = f"""
        SELECT image_id, vector FROM embeddings_{int(space.id)}
        WHERE image_id > {int(after)} ORDER BY image_id LIMIT {int(limit)}
    """  # noqa: S608  # integers
    vector = [("dimension", ">i2"), ("unused", ">i2"), ("values", ">f2", (space.dimension,))]
    rows = copied(connection, query, ("image", ">i8"), ("vector", vector))
    return rows["image"], rows["vector"]["values"].astype(np.float32)


def copied(
    connection: Connection, query: str, *columns: tuple[str, Any], values: Sequence[Any] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Columns of a query's rows, by binary COPY: all rows must be of equal length, and without nulls.

    Args:
        connection: open.
        query: with ``%s`` for the values.
        columns: names, and the types in which PostgreSQL sends them.
        values: of the query.

    Returns:
        An array for each column, in this machine's byte order if it is of numbers.
    """
    fields: list[Any] = [("columns", ">i2")]
    for name, kind in columns:
        fields += [(f"length of {name}", ">i4"), (name, kind)]
    sent = BytesIO()
    with closing(connection.connection.cursor()) as cursor:
        bound = cursor.mogrify(query, tuple(values)).decode()
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT binary)", sent)
    data, row = sent.getbuffer(), np.dtype(fields)
    rows = np.frombuffer(data, row, (len(data) - _HEAD - _TAIL) // row.itemsize, _HEAD)
    return {name: _native(rows[name]) for name, _ in columns}


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values if values.dtype.fields is not None else values.astype(values.dtype.newbyteorder("="))
