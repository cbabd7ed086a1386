"""Near-duplicate images: perceptual hashes that differ in a few bits, found by indexes.

Two hashes of 64 bits that differ in at most seven have a quarter of 16 bits in which they differ in at most one
(multi-index hashing: M. Norouzi, A. Punjani, D. Fleet, Fast search in Hamming space, CVPR 2012). So each quarter has
an index, and a hash is compared only with those of which a quarter is one of 17 values. The same bytes have the same
hash.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.filter_conditions import Conditions
from worker.db import Connection

#: Most bits in which the hashes of near-duplicates may differ, for any use of this module.
MOST_BITS = 7
_QUARTER = "(({of} >> {shift}) & 65535)"
_SHIFTS = (0, 16, 32, 48)
_FLIPS = (0, *(1 << bit for bit in range(16)))

#: Expressions of the quarters, for indexes on ``images``.
QUARTERS = tuple(_QUARTER.format(of="phash", shift=shift) for shift in _SHIFTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class NearHash:
    """A hash that is near another one, and the images that have it."""

    of: int
    phash: int
    images: int
    first: int  # the smallest number of an image with it


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An image of a group."""

    id: int
    phash: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SameBytes:
    """Images with the same bytes."""

    sha256: str
    images: int
    first: int  # the smallest number of one


def near(connection: Connection, filter_: Conditions, hashes: Collection[int], *, bits: int) -> list[NearHash]:
    """The hashes that are near each of these, each of these included.

    Args:
        connection: an open one.
        filter_: only images that match it.
        hashes: signed, as the catalog has them.
        bits: most bits in which two may differ, up to ``MOST_BITS``.
    """
    found = " UNION ".join(
        f"SELECT i.id, i.phash FROM images i WHERE {_QUARTER.format(of='i.phash', shift=shift)} = ANY("  # noqa: S608
        f"ARRAY(SELECT {_QUARTER.format(of='h.hash', shift=shift)} # f.flip "
        "FROM unnest(CAST(:flips AS bigint[])) AS f (flip))) "
        f"AND bit_count(CAST(i.phash # h.hash AS bit(64))) <= :bits AND {filter_.check}"
        for shift in _SHIFTS
    )
    query = text(f"""
        SELECT h.hash AS of, n.phash, count(*) AS images, min(n.id) AS first
        FROM unnest(CAST(:hashes AS bigint[])) AS h (hash) CROSS JOIN LATERAL ({found}) AS n
        GROUP BY h.hash, n.phash
    """)  # noqa: S608  # made of this package's texts
    asked = {**filter_.parameters, "hashes": list(hashes), "bits": bits, "flips": list(_FLIPS)}
    return [NearHash(**row._mapping) for row in connection.execute(query, asked)]  # noqa: SLF001  # public mapping view


def members(connection: Connection, filter_: Conditions, hashes: Collection[int], *, most: int) -> list[Member]:
    """The first images that match and have one of these hashes, by their numbers."""
    quarter = _QUARTER.format(of="i.phash", shift=_SHIFTS[0])
    query = text(f"""
        SELECT i.id, i.phash, encode(i.sha256, 'hex') AS sha256 FROM images i
        WHERE {quarter} = ANY(CAST(:quarters AS bigint[])) AND i.phash = ANY(CAST(:hashes AS bigint[]))
        AND {filter_.check} ORDER BY i.id LIMIT :most
    """)  # noqa: S608
    asked = {
        **filter_.parameters,
        "hashes": list(hashes),
        "quarters": sorted({each & 0xFFFF for each in hashes}),
        "most": most,
    }
    return [Member(**row._mapping) for row in connection.execute(query, asked)]  # noqa: SLF001


def same_bytes(connection: Connection, filter_: Conditions, hashes: Collection[str]) -> list[SameBytes]:
    """How many images that match have each of these hashes of their bytes (hex), and the first of them."""
    query = text(f"""
        SELECT encode(i.sha256, 'hex') AS sha256, count(*) AS images, min(i.id) AS first FROM images i
        WHERE i.sha256 = ANY(CAST(:hashes AS bytea[])) AND {filter_.check} GROUP BY i.sha256
    """)  # noqa: S608
    asked = {**filter_.parameters, "hashes": [bytes.fromhex(each) for each in hashes]}
    return [SameBytes(**row._mapping) for row in connection.execute(query, asked)]  # noqa: SLF001


def with_bytes(connection: Connection, filter_: Conditions, sha256: str, *, most: int) -> list[Member]:
    """The first images that match and have these bytes, by their numbers."""
    where = f"i.sha256 = :sha256 AND {filter_.check}"
    query = text(f"SELECT i.id, i.phash FROM images i WHERE {where} ORDER BY i.id LIMIT :most")  # noqa: S608
    rows = connection.execute(query, {**filter_.parameters, "sha256": bytes.fromhex(sha256), "most": most})
    return [Member(id=row.id, phash=row.phash, sha256=sha256) for row in rows]


def following(connection: Connection, filter_: Conditions, *, after: int, limit: int) -> list[Member]:
    """The next images that match, by their numbers."""
    where = f"i.id > :after AND {filter_.check}"
    columns = "i.id, i.phash, encode(i.sha256, 'hex') AS sha256"
    query = text(f"SELECT {columns} FROM images i WHERE {where} ORDER BY i.id LIMIT :limit")  # noqa: S608
    rows = connection.execute(query, {**filter_.parameters, "after": after, "limit": limit})
    return [Member(**row._mapping) for row in rows]  # noqa: SLF001
