"""Hints: raise ``wanted`` of objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection
from worker.types import Hint, Lane, ObjectRef

#: Stored instead of the source for a hint whose key may not name any object.
GUESS = "guess"

# Rows are touched in key order, so that two requests naming the same objects wait for each other, not deadlock.
# A row that is pending keeps its attempts and its time: hints must neither cut a retry's delay short nor end a lease.
# But one that waits in a less urgent lane is due in its new one from now on: claims may look there for what is young.
# Where a name is certain, another reading of a name that comes out the same does not make it a guess.
_HINT = text(f"""
    INSERT INTO inbox AS i (bucket, key, source, event_at, lane)
    SELECT h.bucket, h.key, h.source, h.event_at, h.lane
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:sources AS text[]),
                CAST(:event_ats AS timestamptz[]), CAST(:lanes AS smallint[]))
         AS h (bucket, key, source, event_at, lane)
    ORDER BY h.bucket COLLATE "C", h.key COLLATE "C"
    ON CONFLICT (bucket, key) DO UPDATE SET
        wanted     = i.wanted + 1,
        source     = CASE WHEN i.done < i.wanted AND excluded.source = '{GUESS}' THEN i.source ELSE excluded.source END,
        event_at   = greatest(excluded.event_at, CASE WHEN i.done < i.wanted THEN i.event_at END),
        lane       = CASE WHEN i.done < i.wanted THEN least(i.lane, excluded.lane) ELSE excluded.lane END,
        visible_at = CASE WHEN i.done >= i.wanted THEN now()
                          WHEN i.token IS NULL AND excluded.lane < i.lane THEN greatest(i.visible_at, now())
                          ELSE i.visible_at END,
        hinted_at  = CASE WHEN i.done < i.wanted THEN i.hinted_at ELSE now() END,
        attempts   = CASE WHEN i.done < i.wanted THEN i.attempts ELSE 0 END,
        deaths     = CASE WHEN i.done < i.wanted THEN i.deaths ELSE 0 END
    RETURNING wanted - done = 1
""")  # noqa: S608  # a constant

# As large as a hint gets, and not pending: if there is room for this, and for its entry in the index, there is for any.
_TRY = text("""
    INSERT INTO inbox (bucket, key, source, done)
    SELECT '', string_agg(gen_random_uuid()::text, ''), 'probe', 1 FROM generate_series(1, 56)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class HintResult:
    """The result of :func:`hint`."""

    objects: int  # distinct objects named
    newly_pending: int  # of these, how many had no work pending before


def hint(connection: Connection, hints: Iterable[Hint], *, lane: Lane = Lane.LIVE) -> HintResult:
    """Raise ``wanted`` of every object named, once each, creating rows as needed.

    The work exists when the transaction commits; send the wake-up after that, not before.

    Args:
        connection: open.
        hints: in any order; an object named twice is in the more urgent of their lanes.
        lane: the most urgent one for any of them.
    """
    latest: dict[ObjectRef, Hint] = {}
    lanes: dict[ObjectRef, Lane] = {}
    for each in hints:
        lanes[each.ref] = min(lanes.get(each.ref, Lane.BACKFILL), max(each.lane, lane))
        known = latest.get(each.ref)
        if known is None or _is_later(each, known):
            latest[each.ref] = each
    if not latest:
        return HintResult(objects=0, newly_pending=0)
    fresh = connection.execute(
        _HINT,
        {
            "buckets": [h.ref.bucket for h in latest.values()],
            "keys": [h.ref.key for h in latest.values()],
            "sources": [GUESS if h.guess else h.source for h in latest.values()],
            "event_ats": [h.event_time for h in latest.values()],
            "lanes": [int(lanes[ref]) for ref in latest],
        },
    ).scalars()
    return HintResult(objects=len(latest), newly_pending=sum(fresh))


def try_hint(connection: Connection) -> None:
    """Raise the database's error if a hint cannot be written now: it is read-only, or its disk is full.

    Roll back: the row that this writes means nothing.
    """
    connection.execute(_TRY)


def _is_later(one: Hint, other: Hint) -> bool:
    if one.guess != other.guess:
        return other.guess
    if one.event_time is None or other.event_time is None:
        return one.event_time is not None
    return one.event_time > other.event_time
