"""Appends to the change feed in the write transaction, and reads it without gaps or repeats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, text

from worker.db import Connection
from worker.errors import CursorError, FeedGoneError
from worker.types import ObjectRef

# The epoch is asked for once, not for each row, as the column's default would.
_APPEND = text("""
    INSERT INTO changes (kind, bucket, key, etag, epoch)
    SELECT c.*, (SELECT feed_epoch()) FROM unnest(CAST(:kinds AS text[]), CAST(:buckets AS text[]),
                                                  CAST(:keys AS text[]), CAST(:etags AS text[])) AS c
""")

# Ids are drawn before their transaction commits, so a higher id can become visible first. Transaction ids below the
# oldest one still running that may write the feed are all decided: ordered by (xid, id), what is below that line never
# changes any more. Which that is, feed_horizon() says (migration 0016), of the snapshot of the query that asks.
# Source: PostgreSQL documentation, pg_current_snapshot() and "Transaction ID and snapshot information functions".
#
# One statement, thus one snapshot: what is pruned between asking whether the feed goes on and reading it would be
# skipped.
_READ = text("""
    WITH feed AS MATERIALIZED (
        SELECT feed_epoch() AS epoch,
               feed_goes_on(CAST(:xid AS xid8), CAST(:id AS bigint), CAST(:at AS timestamptz)) AS goes_on
    ), page AS (
        SELECT xid, id, kind, bucket, key, etag, at FROM changes
        WHERE (SELECT goes_on FROM feed) AND epoch = (SELECT epoch FROM feed)
          AND (xid, id) > (coalesce(CAST(:xid AS xid8), '0'), coalesce(:id, 0))
          AND xid < feed_horizon()
        ORDER BY xid, id LIMIT :limit
    )
    SELECT f.epoch, f.goes_on, p.xid::text AS xid, p.id, p.kind, p.bucket, p.key, p.etag, p.at
    FROM feed f LEFT JOIN page p ON true ORDER BY p.xid, p.id
""")
# Also of what is not decided yet, what can be seen: nothing is skipped, because nobody goes on from here.
_SINCE = text("""
    WITH feed AS MATERIALIZED (
        SELECT feed_epoch() AS epoch,
               feed_goes_on(CAST(:xid AS xid8), CAST(:id AS bigint), CAST(:at AS timestamptz)) AS goes_on
    ), page AS (
        SELECT bucket, key FROM changes
        WHERE (SELECT goes_on FROM feed) AND epoch = (SELECT epoch FROM feed)
          AND (xid, id) > (CAST(:xid AS xid8), CAST(:id AS bigint))
        ORDER BY xid, id LIMIT :limit
    )
    SELECT f.epoch, f.goes_on, p.bucket, p.key FROM feed f LEFT JOIN page p ON true
""")
# What comes behind the newest decided change is all that is not decided yet. Where there is none, it comes behind what
# was pruned last.
_END = text("""
    WITH feed_now AS MATERIALIZED (SELECT feed_epoch() AS epoch), newest AS (
        SELECT xid, id, at FROM changes
        WHERE epoch = (SELECT epoch FROM feed_now) AND xid < feed_horizon()
        ORDER BY xid DESC, id DESC LIMIT 1
    ), pruned AS (
        SELECT pruned_xid, pruned_id, pruned_at FROM feed WHERE epoch = (SELECT epoch FROM feed_now)
    )
    SELECT d.epoch, coalesce(n.xid, p.pruned_xid, '0')::text AS xid, coalesce(n.id, p.pruned_id, 0) AS id,
           coalesce(n.at, p.pruned_at, to_timestamp(0)) AS at
    FROM feed_now d LEFT JOIN newest n ON true LEFT JOIN pruned p ON true
""")

# A page costs what is on it, also where nobody has analysed the table since a million changes: the planner would sort
# them all.
_ALONG_THE_INDEX = text("""
    SELECT set_config('enable_sort', :on, true), set_config('enable_seqscan', :on, true),
           set_config('enable_bitmapscan', :on, true)
""")

# The oldest of those that hold the feed back. (The horizon may also be the xid that was given out last: not waited for,
# but perhaps in a stranger's hands.) Since when, PostgreSQL does not tell everybody of another role's session.
_BLOCKER = text("""
    SELECT a.pid, a.application_name AS application, a.xact_start AS since
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
      AND l.transactionid = CAST(feed_horizon() AS xid) AND feed_waits_for(feed_horizon())
      AND coalesce(a.xact_start < now() - make_interval(secs => :longer), true) AND a.pid <> pg_backend_pid()
""")

#: Asks for the end of the feed.
END = "end"

#: Which database (feed_epoch), which transaction, which change in it, and when, in microseconds since 1970.
_CURSOR = re.compile(r"([0-9a-f]{16})-([0-9]{1,20})-([0-9]{1,19})-([0-9]{1,17})", re.ASCII)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedEntry:
    """One entry of the feed. It is only a pointer: the catalog holds the current state."""

    id: str  # cursor: pass it as ``after`` to go on behind this change
    kind: Literal["enriched", "removed"]
    bucket: str
    key: str
    etag: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocker:
    """A database session whose transaction holds the feed back."""

    pid: int  # as in pg_stat_activity
    application: str
    since: datetime | None  # when it began; None: the database does not tell this user


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEntry:
    """Changes to append."""

    kind: Literal["enriched", "removed"]
    ref: ObjectRef
    etag: str | None


def append(connection: Connection, entries: Sequence[NewEntry]) -> None:
    """Add entries; they appear to readers when the transaction commits, together with what they announce."""
    if entries:
        connection.execute(
            _APPEND,
            {
                "kinds": [entry.kind for entry in entries],
                "buckets": [entry.ref.bucket for entry in entries],
                "keys": [entry.ref.key for entry in entries],
                "etags": [entry.etag for entry in entries],
            },
        )


def read(connection: Connection, *, after: str | None, limit: int) -> list[FeedEntry]:
    """The next changes in commit order.

    Args:
        connection: of any isolation level; the feed is read in one statement.
        after: the ``id`` of the last change seen, or :func:`end`; None starts with the first change there ever was.
        limit: most changes returned.

    Raises:
        CursorError: ``after`` is not a cursor.
        FeedGoneError: the feed no longer has everything that comes after that, or it is the feed of another database.
    """
    place = None if after is None else _parsed(after)
    along_the_index(connection)
    of_place = {"xid": place and str(place.xid), "id": place and place.id, "at": place and place.at}
    rows = connection.execute(_READ, {**of_place, "limit": limit}).all()
    epoch, is_ours = rows[0].epoch, place is None or place.epoch == rows[0].epoch
    if not is_ours or not rows[0].goes_on:
        raise FeedGoneError(_why(after, is_ours=is_ours), start=end(connection))
    return [
        FeedEntry(id=_cursor(epoch, row), kind=row.kind, bucket=row.bucket, key=row.key, etag=row.etag, at=row.at)
        for row in rows
        if row.id is not None
    ]


def end(connection: Connection) -> str:
    """A cursor at the end of everything that is committed and decided now; later changes come after it.

    A reader that takes it first, then reads the whole catalog, misses nothing by following the feed from there.
    """
    along_the_index(connection)
    row = connection.execute(_END).one()
    return _cursor(row.epoch, row)


def since(connection: Connection, cursor: str, *, limit: int) -> list[ObjectRef]:
    """The images of the next ``limit`` committed changes after a cursor, decided or not.

    For who has read the catalog at that place, and asks what of it may be out of date by now.

    Raises:
        CursorError: ``cursor`` is none.
        FeedGoneError: the feed no longer has everything that comes after it.
    """
    place = _parsed(cursor)
    along_the_index(connection)
    parameters = {"xid": str(place.xid), "id": place.id, "at": place.at, "limit": limit}
    rows = connection.execute(_SINCE, parameters).all()
    is_ours = place.epoch == rows[0].epoch
    start = None if is_ours and rows[0].goes_on else end(connection)
    connection.execute(_ALONG_THE_INDEX, {"on": "on"})  # whoever asks goes on in this transaction
    if start is not None:
        raise FeedGoneError(_why(cursor, is_ours=is_ours), start=start)
    return [ObjectRef(bucket=row.bucket, key=row.key) for row in rows if row.key is not None]


def blocker(connection: Connection, *, longer: float = 5.0) -> Blocker | None:
    """The session that keeps changes from appearing, if its transaction has been open for ``longer`` seconds."""
    row = connection.execute(_BLOCKER, {"longer": longer}).one_or_none()
    return None if row is None else Blocker(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def along_the_index(connection: Connection) -> None:
    """Make the planner expect that only the first rows of each sorted result are read, in this transaction."""
    connection.execute(_ALONG_THE_INDEX, {"on": "off"})


def _why(after: str | None, *, is_ours: bool) -> str:
    if after is None:
        return "the feed no longer begins with the catalog's first image: older changes were pruned"
    if not is_ours:
        return f"the cursor {after} is of another database than this one, which was restored, copied or made anew"
    return f"the cursor {after} is of changes that were pruned, or of a past that this database does not have"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """The parts of a cursor."""

    epoch: int
    xid: int
    id: int
    at: datetime


def _cursor(epoch: int, row: Row[Any]) -> str:
    return f"{epoch & ((1 << 64) - 1):016x}-{row.xid}-{row.id}-{(row.at - _BEGINNING) // _MICROSECOND}"


def _parsed(cursor: str) -> _Place:
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[2]) >= 1 << 64 or int(found[3]) >= 1 << 63:
        raise CursorError(f"{cursor!r} is not a cursor: pass the id of a change, or `next`, as it was returned")
    epoch, at = int.from_bytes(bytes.fromhex(found[1]), signed=True), _BEGINNING + int(found[4]) * _MICROSECOND
    return _Place(epoch=epoch, xid=int(found[2]), id=int(found[3]), at=at)
