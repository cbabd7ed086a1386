"""The quarantine: list, retry and give up objects that could not be enriched; list and retry those given up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause, text

from worker.db import Connection
from worker.types import ObjectRef

_SELECTED = """
    (CAST(:reason AS text) IS NULL OR q.reason = :reason)
    AND (CAST(:bucket AS text) IS NULL OR i.bucket = :bucket)
    AND (CAST(:prefix AS text) IS NULL OR starts_with(i.key, :prefix))
    AND (CAST(:key AS text) IS NULL OR i.key = :key)
    AND (CAST(:since AS timestamptz) IS NULL OR q.since >= :since)
    AND (CAST(:before AS timestamptz) IS NULL OR q.since < :before)
"""
_PLACE = "(CAST(:place_since AS timestamptz) IS NULL OR (q.since, q.inbox_id) {} (:place_since, :place_id))"
_COLUMNS = """
    i.bucket, i.key, q.reason, q.message, q.etag, q.size, q.first_bytes, q.attempts, q.since, q.inbox_id,
    i.done < i.wanted AS pending
"""
_NEWEST = f"""
    SELECT {_COLUMNS} FROM {{table}} q JOIN inbox i ON i.id = q.inbox_id
    WHERE {_SELECTED} AND {_PLACE.format("<")} ORDER BY q.since DESC, q.inbox_id DESC LIMIT :limit
"""  # noqa: S608  # constants
_ONE = text(f"""
    SELECT {_COLUMNS} FROM quarantine q JOIN inbox i ON i.id = q.inbox_id WHERE i.bucket = :bucket AND i.key = :key
""")  # noqa: S608
_COUNTS = f"""
    SELECT q.reason, count(*) AS n FROM {{table}} q JOIN inbox i ON i.id = q.inbox_id
    WHERE {_SELECTED} GROUP BY q.reason ORDER BY n DESC, q.reason
"""  # noqa: S608

# Every entry has its row of the ledger: where no bucket is asked for, an index on the quarantine alone answers.
_COUNTS_OF_ALL = """
    SELECT q.reason, count(*) AS n FROM {table} q
    WHERE (CAST(:reason AS text) IS NULL OR q.reason = :reason)
      AND (CAST(:since AS timestamptz) IS NULL OR q.since >= :since)
      AND (CAST(:before AS timestamptz) IS NULL OR q.since < :before)
    GROUP BY q.reason ORDER BY n DESC, q.reason
"""

# The next part of a selection, oldest first, and of it what nobody works on. Ledger rows are locked in key order, as
# everywhere, and each before its entry, as when work is completed. PostgreSQL asks the conditions again once it has
# the locks: what was enriched, or refused for another reason, while we waited for them is left alone. Rows are found
# again through arrays, because joins with a part are planned as if it were a tenth of everything.
_CHOSEN = f"""
    WITH part AS MATERIALIZED (
        SELECT q.inbox_id, q.since FROM {{table}} q JOIN inbox i ON i.id = q.inbox_id
        WHERE {_SELECTED} AND {_PLACE.format(">")} ORDER BY q.since, q.inbox_id LIMIT :limit
    ), chosen AS (
        SELECT i.id FROM inbox i JOIN {{table}} q ON q.inbox_id = i.id
        WHERE i.id = ANY(ARRAY(SELECT inbox_id FROM part)) AND q.inbox_id = ANY(ARRAY(SELECT inbox_id FROM part))
          AND i.done = i.wanted AND i.outcome = '{{outcome}}' AND {_SELECTED}
        ORDER BY i.bucket, i.key FOR UPDATE OF i, q
    )
"""  # noqa: S608
_END_OF_PART = """
    SELECT p.since, p.inbox_id, (SELECT count(*) FROM changed) AS changed FROM part p
    ORDER BY p.since DESC, p.inbox_id DESC LIMIT 1
"""
# The entry stays until the work has an outcome: a retry that fails again shows its new reason, and until then the old
# one explains what is pending. Neither attempts nor deaths have to be forgotten: finished work has none.
_AGAIN = """
    changed AS (
        UPDATE inbox SET wanted = wanted + 1, lane = 1, visible_at = now(), hinted_at = now(), source = 'quarantine'
        WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING 1
    )
"""
_QUARANTINED = _CHOSEN.format(table="quarantine", outcome="quarantined")
_RETRY = text(f"{_QUARANTINED}, {_AGAIN} {_END_OF_PART}")
# Whoever tries again what was given up has changed their mind.
_RETRY_GIVEN_UP = text(f"""
    {_CHOSEN.format(table="given_up", outcome="excluded")}, resumed AS (
        DELETE FROM given_up WHERE inbox_id = ANY(ARRAY(SELECT id FROM chosen))
    ), {_AGAIN} {_END_OF_PART}
""")  # noqa: S608
# Dropped objects stay accounted for: they are excluded, until other bytes come or somebody tries them again.
_DROP = text(f"""
    {_QUARANTINED}, dropped AS (
        DELETE FROM quarantine WHERE inbox_id = ANY(ARRAY(SELECT id FROM chosen))
        RETURNING inbox_id, reason, message, etag, size, first_bytes, attempts
    ), kept AS (
        INSERT INTO given_up (inbox_id, reason, message, etag, size, first_bytes, attempts) SELECT * FROM dropped
        ON CONFLICT (inbox_id) DO UPDATE SET
            reason = excluded.reason, message = excluded.message, etag = excluded.etag, size = excluded.size,
            first_bytes = excluded.first_bytes, attempts = excluded.attempts, since = now()
    ), changed AS (
        UPDATE inbox SET outcome = 'excluded' WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING 1
    ) {_END_OF_PART}
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineSelection:
    """Which entries to select: they must match all that is given; nothing given means all."""

    reason: str | None = None  # a code of worker.types.Reason
    bucket: str | None = None
    prefix: str | None = None  # of the key
    key: str | None = None
    since: datetime | None = None  # there since then, or for less long
    before: datetime | None = None  # there for longer than since then
    given_up: bool = False  # among what was given up, not in quarantine; times are those of giving it up


@dataclass(frozen=True, slots=True)
class QuarantinePosition:
    """A position between two entries, in the order of their arrival."""

    since: datetime
    id: int  # of the ledger's row


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedObject:
    """An object that cannot be enriched."""

    bucket: str
    key: str
    reason: str  # a code of worker.types.Reason
    message: str
    etag: str | None
    size: int | None
    first_bytes: bytes | None
    attempts: int
    since: datetime
    pending: bool  # it is being tried again; the entry is of the last time
    place: QuarantinePosition


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinePart:
    """The result of changing a part of a selection."""

    changed: int
    end: QuarantinePosition | None  # the rest is behind it; None: there is none


def page(
    connection: Connection,
    selection: QuarantineSelection = QuarantineSelection(),  # frozen
    *,
    limit: int = 50,
    behind: QuarantinePosition | None = None,
) -> list[QuarantinedObject]:
    """The newest entries that are older than ``behind``, newest first.

    An entry that is added, or added again, while a reader turns pages is on none of the later ones: it is new.
    """
    newest = text(_NEWEST.format(table=_table(selection)))
    rows = connection.execute(newest, {**_parameters(selection, behind), "limit": limit})
    return [_entry(row) for row in rows]


def entry(connection: Connection, ref: ObjectRef) -> QuarantinedObject | None:
    """The entry of one object, or None if it is not in quarantine."""
    row = connection.execute(_ONE, {"bucket": ref.bucket, "key": ref.key}).one_or_none()
    return None if row is None else _entry(row)


def counts(
    connection: Connection,
    selection: QuarantineSelection = QuarantineSelection(),  # frozen
) -> dict[str, int]:
    """Entries by reason, most frequent first. Reads the whole selection: for people, not for hot paths."""
    statement = _COUNTS_OF_ALL if selection.bucket is None else _COUNTS
    counts = text(statement.format(table=_table(selection)))
    return {row.reason: int(row.n) for row in connection.execute(counts, _parameters(selection))}


def retry(
    connection: Connection, selection: QuarantineSelection, *, limit: int, behind: QuarantinePosition | None = None
) -> QuarantinePart:
    """Make selected entries pending work with all their attempts, behind live uploads; the oldest ``limit`` of them.

    Entries that are pending already are passed over and not counted. What was given up is that no longer.
    """
    statement = _RETRY_GIVEN_UP if selection.given_up else _RETRY
    return _change(connection, statement, selection, limit=limit, behind=behind)


def drop(
    connection: Connection, selection: QuarantineSelection, *, limit: int, behind: QuarantinePosition | None = None
) -> QuarantinePart:
    """Give selected entries up, the oldest ``limit`` of them: they count as excluded until new bytes are uploaded.

    Entries that are pending are passed over: their work is under way.
    """
    return _change(connection, _DROP, selection, limit=limit, behind=behind)


def _change(
    connection: Connection,
    statement: TextClause,
    selection: QuarantineSelection,
    *,
    limit: int,
    behind: QuarantinePosition | None,
) -> QuarantinePart:
    row = connection.execute(statement, {**_parameters(selection, behind), "limit": limit}).one_or_none()
    if row is None:
        return QuarantinePart(changed=0, end=None)
    return QuarantinePart(changed=int(row.changed), end=QuarantinePosition(row.since, row.inbox_id))


def _entry(row: Row[Any]) -> QuarantinedObject:
    columns = dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
    place = QuarantinePosition(row.since, columns.pop("inbox_id"))
    first_bytes = columns.pop("first_bytes")
    return QuarantinedObject(**columns, place=place, first_bytes=None if first_bytes is None else bytes(first_bytes))


def _table(selection: QuarantineSelection) -> str:
    return "given_up" if selection.given_up else "quarantine"


def _parameters(selection: QuarantineSelection, place: QuarantinePosition | None = None) -> dict[str, object]:
    columns = asdict(selection)
    del columns["given_up"]
    return {
        **columns,
        "place_since": place.since if place else None,
        "place_id": place.id if place else None,
    }
