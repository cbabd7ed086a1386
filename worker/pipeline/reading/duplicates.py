"""The use case: groups of near-duplicate images, page by page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker import catalog
from worker.catalog.duplicates import MOST_BITS, Member, NearHash, SameBytes
from worker.catalog.filter_conditions import Conditions, conditions
from worker.catalog.image_filter import ImageFilter
from worker.catalog.read import ImageRecord
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError, CursorError
from worker.pipeline.common import cursors, image_filters
from worker.pipeline.common.flat_hashes import says_nothing

_LIST = "duplicates"
#: Images that are looked at together.
_CHUNK = 500
#: Seconds after which a page ends, complete or not.
_PATIENCE = 5.0
#: Most different hashes of a group that are followed.
_MOST_HASHES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """An image of a group."""

    image: ImageRecord
    same_bytes: bool  # as the first of the group
    bits: int  # of 64 in which its perceptual hash differs from that of the first


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateGroup:
    """Images that look the same: each is near another one of the group, if not near all of them."""

    images: tuple[Duplicate, ...]  # the oldest first
    total: int
    complete: bool  # whether all of the group was found


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicatePage:
    """Groups by the number of their oldest image."""

    groups: tuple[DuplicateGroup, ...]
    examined: int  # images that were looked at for this page
    next: str | None  # cursor of the next page; None: this is the last


def duplicates(
    engine: Engine,
    wanted: ImageFilter,
    *,
    bits: int = 4,
    limit: int = 50,
    per_group: int = 20,
    after: str | None = None,
) -> DuplicatePage:
    """The next groups among the images that match; fewer than ``limit`` where looking for them took long.

    Args:
        engine: the database.
        wanted: which images; others are in no group.
        bits: most bits in which the perceptual hashes of two may differ.
        limit: most groups.
        per_group: most images shown of a group.
        after: ``next`` of the previous page, with the same filter and bits.

    Raises:
        CursorError: ``after`` is not the ``next`` of an earlier page.
        UnknownNameError: the filter names something that is unknown.
        ChoiceError: no image can match, or so many bits cannot be looked for.
    """
    if not 0 <= bits <= MOST_BITS:
        raise ChoiceError(f"perceptual hashes of near-duplicates may differ in 0 to {MOST_BITS} bits, not {bits}")
    asked = f"{wanted.fingerprint}-{bits}"
    place, of = (0, asked) if after is None else cursors.decode(after, _LIST, int, str)
    if of != asked or place < 0:
        raise CursorError("the cursor is of a list with another filter or bits: repeat them, or begin again without it")
    until = time.monotonic() + _PATIENCE
    groups: list[DuplicateGroup] = []
    examined = 0
    with snapshot(engine) as connection:
        search = _Search(connection, conditions(image_filters.resolved(connection, wanted)), bits)
        chunk: list[Member] = []
        while len(groups) < limit and (time.monotonic() < until or not examined):
            chunk = catalog.duplicates.following(connection, search.filter, after=place, limit=_CHUNK)
            if not chunk:
                return DuplicatePage(groups=tuple(groups), examined=examined, next=None)
            for first, described in search.groups(chunk, per_group):
                groups.append(described)
                place = first
                if len(groups) == limit:
                    break
            else:
                place = chunk[-1].id
                examined += len(chunk)
        examined += sum(each.id <= place for each in chunk) if len(groups) == limit else 0
    return DuplicatePage(groups=tuple(groups), examined=examined, next=cursors.encode(_LIST, place, asked))


class _Search:
    """Finds groups in one snapshot."""

    def __init__(self, connection: Connection, filter_: Conditions, bits: int) -> None:
        self.filter = filter_
        self._connection, self._bits = connection, bits
        self._parts: set[int] = set()  # hashes of groups that are too large to be followed to their end

    def groups(self, chunk: Sequence[Member], most: int) -> Iterator[tuple[int, DuplicateGroup]]:
        """The groups whose oldest image is in the chunk, by the number of that image, which comes first."""
        plain = {each.sha256 for each in chunk if says_nothing(each.phash)}
        alike = {
            each.first: each
            for each in (catalog.duplicates.same_bytes(self._connection, self.filter, plain) if plain else ())
            if each.images > 1
        }
        oldest: dict[int, int] = {}
        for each in chunk:
            if not says_nothing(each.phash):
                oldest.setdefault(each.phash, each.id)
        near: dict[int, list[NearHash]] = {}
        for found in self._near(list(oldest)) if oldest else ():
            near.setdefault(found.of, []).append(found)
        for each in chunk:
            if each.id in alike:
                yield each.id, self._of_bytes(alike[each.id], most)
            elif oldest.get(each.phash) == each.id:
                hashes, complete = self._begun_by(each.id, near.get(each.phash, []))
                if hashes:
                    yield each.id, self._described(hashes, most, complete=complete)

    def _begun_by(self, image: int, around: Sequence[NearHash]) -> tuple[list[NearHash], bool]:
        """The hashes of the group whose oldest image this is, and whether these are all; empty if it begins none."""
        is_alone = sum(each.images for each in around) <= 1
        if is_alone or min(each.first for each in around) < image or around[0].of in self._parts:
            return [], True
        hashes, complete = self._component(around)
        if not complete:
            self._parts.update(each.phash for each in hashes)
        return (hashes, complete) if min(each.first for each in hashes) == image else ([], True)

    def _component(self, around: Sequence[NearHash]) -> tuple[list[NearHash], bool]:
        """All hashes that are near one that is near one …"""
        known = {each.phash: each for each in around}
        front = [each.phash for each in around if each.phash != each.of]
        while front and len(known) <= _MOST_HASHES:
            found = {each.phash: each for each in self._near(front) if each.phash not in known}
            known |= found
            front = list(found)
        return list(known.values()), not front

    def _near(self, hashes: Sequence[int]) -> list[NearHash]:
        found = catalog.duplicates.near(self._connection, self.filter, hashes, bits=self._bits)
        return [each for each in found if not says_nothing(each.phash)]

    def _of_bytes(self, same: SameBytes, most: int) -> DuplicateGroup:
        found = catalog.duplicates.with_bytes(self._connection, self.filter, same.sha256, most=most)
        return self._group(found, total=same.images, complete=True)

    def _described(self, hashes: Sequence[NearHash], most: int, *, complete: bool) -> DuplicateGroup:
        """A group with its first images."""
        found = catalog.duplicates.members(self._connection, self.filter, [each.phash for each in hashes], most=most)
        return self._group(found, total=sum(each.images for each in hashes), complete=complete)

    def _group(self, found: Sequence[Member], *, total: int, complete: bool) -> DuplicateGroup:
        records = catalog.read.images(self._connection, [each.id for each in found])
        first = found[0]
        return DuplicateGroup(
            images=tuple(
                Duplicate(image=record, same_bytes=each.sha256 == first.sha256, bits=_bits(each, first))
                for each, record in zip(found, records, strict=True)
            ),
            total=total,
            complete=complete,
        )


def _bits(one: Member, other: Member) -> int:
    return ((one.phash ^ other.phash) & 0xFFFFFFFFFFFFFFFF).bit_count()
