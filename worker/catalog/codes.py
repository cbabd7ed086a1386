"""A space's vectors as binary codes, one bit per dimension, for comparison in memory; and which images have a tag.

Comparing codes takes some 30 nanoseconds an image. It tells which images may be near; their vectors decide. Recall with
a few hundred candidates: docs/decisions/0029. Method: binary quantization with re-ranking, pgvector's
``binary_quantize``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from worker.catalog.image_filter import TagFilter
from worker.catalog.in_force import applied, by_people
from worker.catalog.spaces import Space
from worker.db import Connection
from worker.types import Floats, ObjectRef

Numbers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_PAGE = 50_000
_TAKEN = 16_384  # images compared at once: their codes stay in a processor's cache
_PEOPLE = text(f"""
    SELECT t.image_id FROM tags t
    WHERE t.space_id IS NULL AND {by_people("t")} AND t.taxonomy = :taxonomy AND t.label = :label
""")  # noqa: S608  # made of this package's texts
_IDS = text("""
    SELECT i.id FROM images i
    JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key) USING (bucket, key)
""")
_ACTIVE_SINCE = text("SELECT activated_at FROM spaces WHERE id = :id AND state = 'active'")
_COUNT = text("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass(:name)")

# PostgreSQL's documentation, COPY, "Binary Format": a signature, flags, the length of an extension; rows; two bytes.
_HEAD, _TAIL = 19, 2
_NUMBER = [("fields", ">i2"), ("length", ">i4"), ("image", ">i8")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """Codes of images, sorted by id."""

    images: Numbers  # [n], ascending
    words: npt.NDArray[np.uint64]  # [dimension / 64, rounded up; n]: all first words, all second ones, …

    @property
    def nbytes(self) -> int:
        """Memory used, in bytes."""
        return self.images.nbytes + self.words.nbytes

    def closest(self, vector: Floats, among: Numbers, count: int) -> Numbers:
        """Images whose codes differ least from that of ``vector`` ([d]); at least ``count``, if there are so many.

        Args:
            vector: what to be near to.
            among: places of the images that are compared.
            count: how many are wanted; as many more come as are equally near as the last.
        """
        if len(among) <= count:
            return self.images[among]
        wanted = _words(np.packbits(vector > 0)[None])
        distances = np.empty(len(among), np.uint16)
        for first in range(0, len(among), _TAKEN):
            places = among[first : first + _TAKEN]
            differing = np.zeros(len(places), np.uint16)
            for word, of_query in zip(self.words, wanted, strict=True):
                differing += np.bitwise_count(word.take(places) ^ of_query)
            distances[first : first + _TAKEN] = differing
        farthest = np.searchsorted(np.cumsum(np.bincount(distances)), count)
        return self.images[among[distances <= farthest]]

    def flags(self, images: Numbers) -> Flags:
        """[n]: which of the images are among these."""
        found = np.zeros(len(self.images), np.bool_)
        if len(self.images):
            places = np.minimum(np.searchsorted(self.images, images), len(self.images) - 1)
            found[places[self.images[places] == images]] = True
        return found


def expected(connection: Connection, space: Space) -> int:
    """About how many vectors a space has: the planner's estimate."""
    return int(connection.execute(_COUNT, {"name": f"embeddings_{space.id}"}).scalar_one_or_none() or 0)


def active_since(connection: Connection, space: Space) -> datetime | None:
    """When a space became active; None if it is not. Earlier vectors of the space were never announced in the feed."""
    since: datetime | None = connection.execute(_ACTIVE_SINCE, {"id": space.id}).scalar_one_or_none()
    return since


def code_bytes(space: Space) -> int:
    """Bytes for one image's code and id."""
    return 8 * (-(-space.dimension // 64) + 1)


def read_codes(connection: Connection, space: Space, *, after: int) -> Codes:
    """The codes of the next 50,000 images by id; none after the last."""
    return _read(connection, space, f"image_id > {after} ORDER BY image_id LIMIT {_PAGE}")


def codes_of(connection: Connection, space: Space, images: Sequence[int]) -> Codes:
    """The codes of those of these images that have a vector."""
    return _read(connection, space, f"image_id = ANY('{{{_listed(images)}}}') ORDER BY image_id")


def joined(parts: Sequence[Codes]) -> Codes:
    """Concatenate codes; the ids of each come after those of the one before."""
    return Codes(
        images=np.concatenate([part.images for part in parts]),
        words=np.concatenate([part.words for part in parts], axis=1),
    )


def tagged_by_model(
    connection: Connection, space: Space, tag: TagFilter, *, of: Sequence[int] | None = None
) -> Numbers:
    """Images with this tag by a model in this space, whatever people decided; all, or only those ``of`` these."""
    some = "" if of is None else f" AND image_id = ANY('{{{_listed(of)}}}')"
    holds = f"taxonomy = %s AND label = %s AND space_id = {space.id} AND {applied('t')}{some}"
    query = f"SELECT image_id FROM tags t WHERE {holds}"  # noqa: S608  # integers
    images: Numbers = _copied(connection, query, _NUMBER, tag.taxonomy, tag.label)["image"].astype(np.int64)
    return images


def tagged_by_people(connection: Connection, tag: TagFilter) -> Numbers:
    """Images with this tag by a person."""
    found = connection.execute(_PEOPLE, {"taxonomy": tag.taxonomy, "label": tag.label}).scalars()
    return np.fromiter(found, np.int64)


def numbers_of(connection: Connection, refs: Sequence[ObjectRef]) -> list[int]:
    """Those of these images that are in the catalog."""
    if not refs:
        return []
    columns = {"buckets": [ref.bucket for ref in refs], "keys": [ref.key for ref in refs]}
    return list(connection.execute(_IDS, columns).scalars())


def _read(connection: Connection, space: Space, condition: str) -> Codes:
    size = -(-space.dimension // 8)
    row = [*_NUMBER, ("size", ">i4"), ("bits", ">i4"), ("code", "u1", (size,))]
    query = f"SELECT image_id, binary_quantize(vector) FROM embeddings_{space.id} WHERE {condition}"  # noqa: S608  # integers
    rows = _copied(connection, query, row)
    return Codes(images=rows["image"].astype(np.int64), words=_words(rows["code"]))


def _copied(connection: Connection, query: str, row: Sequence[Any], *parameters: str) -> Any:
    """Rows of a query, all of equal length, so that numpy can read them as they are."""
    sent = BytesIO()
    with closing(connection.connection.cursor()) as cursor:
        cursor.copy_expert(f"COPY ({cursor.mogrify(query, parameters).decode()}) TO STDOUT (FORMAT binary)", sent)
    data, kind = sent.getbuffer(), np.dtype(list(row))
    return np.frombuffer(data, kind, (len(data) - _HEAD - _TAIL) // kind.itemsize, _HEAD)


def _words(code: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """``[n, bytes]`` as ``[words, n]``."""
    padded = np.pad(code, ((0, 0), (0, -code.shape[1] % 8)))
    return np.ascontiguousarray(np.ascontiguousarray(padded).view(np.uint64).T)


def _listed(images: Sequence[int]) -> str:
    return ",".join(str(int(image)) for image in images)
