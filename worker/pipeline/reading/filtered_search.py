"""Filtered search: compares codes of all vectors in memory, which is faster than the database.

The codes are those of a moment. What the feed has since then is compared as well, and what is found is checked in the
database: so an answer is that of the transaction that asks, however old the codes are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from worker import catalog, db, logs, outbox
from worker.catalog import codes
from worker.catalog.codes import Codes, Flags, Numbers
from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter, TagFilter
from worker.catalog.search import Nearest, nearest_among
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot, transaction
from worker.errors import FeedGoneError
from worker.types import Floats

_log = logs.get("pipeline")

#: Smaller spaces are searched only in the database.
_WORTH = 20_000
#: Images that are compared by their vectors: all that pass if they are few, else those with the nearest codes: the more
#: the shorter the codes are.
_FEW = 2_000
_CANDIDATES, _CANDIDATES_PER_HIT, _BITS = 600, 20, 512
#: Changes since the codes were read: taken in from then on; and most that a search compares.
_TAKE_IN, _MOST_SINCE = 500, 2_000
#: Changes that are taken in at once. If there are more, or so large a share of the images has gone, all is read again.
_MOST_TAKEN_IN, _MOST_GONE = 200_000, 0.05
#: Seconds until loading is retried after a failure.
_PAUSE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    """The codes of a space, and which of its images have which tags."""

    space: Space
    active_since: datetime  # the feed tells all that changed in it only as long as it is active
    cursor: str  # the feed's cursor when it was read
    codes: Codes
    tagged: dict[TagFilter, Flags] = field(default_factory=dict)  # by a model; of the tags searched for
    gone: int = 0  # images that are still here and no longer in the catalog

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + sum(flags.nbytes for flags in self.tagged.values())

    def replaced(
        self, come: Codes, tagged: Mapping[TagFilter, Numbers], *, among: Numbers, cursor: str, gone: int
    ) -> _Loaded:
        """With ``come`` in place of what there was of the images ``among`` which these are."""
        stays = ~self.codes.flags(among)
        images = np.concatenate([self.codes.images[stays], come.images])
        order = np.argsort(images, kind="stable")
        words = np.concatenate([self.codes.words[:, stays], come.words], axis=1)[:, order]
        flags = {
            tag: np.concatenate([of_all[stays], come.flags(tagged[tag])])[order] for tag, of_all in self.tagged.items()
        }
        new = Codes(images=images[order], words=words)
        return replace(self, cursor=cursor, codes=new, tagged=flags, gone=gone)


class FilteredSearch:
    """Searches with filters. The first that is worth it starts reading codes in the background; until they are there,
    and where there is no memory for them, the database searches.
    """

    def __init__(self, engine: Engine, *, memory: int) -> None:
        """Nothing is read yet.

        Args:
            engine: the database; one connection is used beside those of the searches.
            memory: most bytes kept; twice as many are used for a moment when changes are taken in. 0: none.
        """
        self._engine = engine
        self._memory = memory
        self._loaded: _Loaded | None = None
        self._wanted: dict[TagFilter, None] = {}  # tags searched for, the last one last
        self._reading: threading.Thread | None = None
        self._not_before = 0.0
        self._told = False  # that there is not enough memory
        self._mutex = threading.Lock()

    def __call__(
        self,
        connection: Connection,
        space: Space,
        vector: Floats,
        *,
        limit: int,
        tags: Sequence[TagFilter] = (),
        filter_: ImageFilter = EVERY_IMAGE,
        exact: bool = False,
    ) -> Nearest:
        """Like ``catalog.search.nearest``, in the active space; ``connection`` is in a snapshot."""
        found = None
        if filter_ == ImageFilter(tags=filter_.tags) and all(each.is_plain for each in filter_.tags):
            tags, filter_ = (*tags, *filter_.tags), EVERY_IMAGE
            if tags and not exact and self._memory:
                found = self._by_codes(connection, space, vector, limit, tags)
        return found or catalog.search.nearest(
            connection, space, vector, limit=limit, tags=tags, filter_=filter_, exact=exact
        )

    def wait(self) -> None:
        """Wait until background work is done."""
        reading = self._reading
        if reading is not None:
            reading.join()

    @property
    def nbytes(self) -> int:
        """Memory used now, in bytes."""
        return 0 if self._loaded is None else self._loaded.nbytes

    # -- asking ------------------------------------------------------------------------------------------------------
    def _by_codes(
        self, connection: Connection, space: Space, vector: Floats, limit: int, tags: Sequence[TagFilter]
    ) -> Nearest | None:
        """The answer; None if the codes are missing or too old."""
        loaded = self._loaded
        if loaded is None or loaded.space.id != space.id or any(tag not in loaded.tagged for tag in tags):
            self._read_soon(space, tags)
            return None
        if loaded.active_since != codes.active_since(connection, space):  # another one was active meanwhile
            self._read_soon(space, tags, anew=True)
            return None
        try:
            changed = outbox.since(connection, loaded.cursor, limit=_MOST_SINCE + 1)
        except FeedGoneError:  # or not there yet, where this snapshot is older than the codes: whoever reads finds out
            self._read_soon(space, tags)
            return None
        if len(changed) > _TAKE_IN:
            self._read_soon(space, tags)
        if len(changed) > _MOST_SINCE:
            return None
        among = np.flatnonzero(self._passing(connection, loaded, tags))
        count = _FEW if len(among) <= _FEW else _candidates(space, limit)
        near = loaded.codes.closest(vector, among, count)
        images = np.union1d(near, np.array(codes.numbers_of(connection, changed), np.int64))
        hits = nearest_among(connection, space, vector, images.tolist(), limit=limit, tags=tags)
        if len(hits) < limit and len(near) < len(among):
            return None  # so many of the nearest have lost the tag that others must be compared
        return Nearest(hits=hits, exact=len(near) == len(among), complete=True)

    def _passing(self, connection: Connection, loaded: _Loaded, tags: Sequence[TagFilter]) -> Flags:
        """Which images may have all of the tags; that they do is checked later."""
        passing = np.ones(len(loaded.codes.images), np.bool_)
        for tag in tags:
            passing &= loaded.tagged[tag] | loaded.codes.flags(codes.tagged_by_people(connection, tag))
        return passing

    # -- reading -----------------------------------------------------------------------------------------------------
    def _read_soon(self, space: Space, tags: Sequence[TagFilter], *, anew: bool = False) -> None:
        """In the background, one after the other; those who search do not wait."""
        with self._mutex:
            for tag in tags:
                self._wanted.pop(tag, None)
                self._wanted[tag] = None
            if self._reading is not None and self._reading.is_alive():
                return
            if time.monotonic() < self._not_before:
                return
            self._reading = threading.Thread(
                target=self._read, args=(space,), kwargs={"anew": anew}, name="codes", daemon=True
            )
            self._reading.start()

    def _read(self, space: Space, *, anew: bool) -> None:
        try:
            loaded = self._loaded
            if anew or loaded is None or loaded.space.id != space.id:
                self._loaded = None  # its memory is needed now
                loaded = self._load(space)
            else:
                loaded = self._take_in(loaded)
            if loaded is not None:
                loaded = self._with_tags(loaded) if self._fits(loaded.space, len(loaded.codes.images)) else None
            self._loaded = loaded
            if loaded is None:
                self._not_before = time.monotonic() + _PAUSE
        except Exception as error:  # noqa: BLE001  # the database answers searches meanwhile, if more slowly
            self._not_before = time.monotonic() + _PAUSE
            why = db.in_one_line(error)
            _log.warning(f"codes for searches with filters could not be read: {why}", action="codes", space=space.id)

    def _load(self, space: Space) -> _Loaded | None:
        with transaction(self._engine) as connection:
            expected = codes.expected(connection, space)
            cursor, active_since = outbox.end(connection), codes.active_since(connection, space)
        if expected < _WORTH or active_since is None or not self._fits(space, expected):
            return None
        begun, parts, last, count = time.monotonic(), [], 0, 0
        while self._fits(space, count):  # there may be more than the planner knows of
            with transaction(self._engine) as connection:  # for each: none is long
                part = codes.read_codes(connection, space, after=last)
            if not len(part.images):
                break
            parts.append(part)
            last, count = int(part.images[-1]), count + len(part.images)
        else:
            return None
        if not parts:
            return None
        loaded = _Loaded(space=space, active_since=active_since, cursor=cursor, codes=codes.joined(parts))
        _log.info(
            f"codes of {len(loaded.codes.images):,} images were read for searches with filters", action="codes",
            space=space.id, mebibytes=loaded.nbytes >> 20, seconds=round(time.monotonic() - begun, 1),
        )  # fmt: skip
        return loaded

    def _fits(self, space: Space, images: int) -> bool:
        """Whether there is memory for the codes of so many images, and for one tag; tells once that there is not."""
        needed = images * (codes.code_bytes(space) + 1)
        if needed > self._memory and not self._told:
            self._told = True
            _log.warning(
                f"searches with filters use the database alone, which takes longer: codes of {images:,} images need "
                f"{needed >> 20:,} MiB, and ENRICH_FILTER_MEMORY_BYTES allows {self._memory >> 20:,}",
                action="codes",
            )
        return needed <= self._memory

    def _with_tags(self, loaded: _Loaded) -> _Loaded:
        """With all that are wanted, as far as memory allows: the last ones searched for."""
        with self._mutex:
            wanted = list(self._wanted)
        room = (self._memory - loaded.codes.nbytes) // max(len(loaded.codes.images), 1)
        kept: dict[TagFilter, Flags] = {}
        for tag in reversed(wanted[-max(room, 1) :]):
            flags = loaded.tagged.get(tag)
            if flags is None:
                with transaction(self._engine) as connection:
                    flags = loaded.codes.flags(codes.tagged_by_model(connection, loaded.space, tag))
            kept[tag] = flags
        with self._mutex:
            for tag in wanted:
                if tag not in kept:
                    self._wanted.pop(tag, None)
        return replace(loaded, tagged=kept)

    def _take_in(self, loaded: _Loaded) -> _Loaded | None:
        """The codes updated by the changes since they were read."""
        with snapshot(self._engine) as connection:
            try:
                changes = outbox.since(connection, loaded.cursor, limit=_MOST_TAKEN_IN)
            except FeedGoneError:
                return self._load(loaded.space)
            if len(changes) <= _TAKE_IN:
                return loaded
            cursor, changed = outbox.end(connection), set(changes)
            images = sorted(codes.numbers_of(connection, list(changed)))
            come = codes.codes_of(connection, loaded.space, images)
            tagged = {tag: codes.tagged_by_model(connection, loaded.space, tag, of=images) for tag in loaded.tagged}
        gone = loaded.gone + len(changed) - len(images)
        if len(changes) == _MOST_TAKEN_IN or gone > _MOST_GONE * len(loaded.codes.images):
            return self._load(loaded.space)
        return loaded.replaced(come, tagged, among=np.array(images, np.int64), cursor=cursor, gone=gone)


def _candidates(space: Space, limit: int) -> int:
    return round((_CANDIDATES + _CANDIDATES_PER_HIT * limit) * max(_BITS / space.dimension, 1))
