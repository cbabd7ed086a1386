"""Pending objects by lane: how many, and for how long the oldest has waited. Bounded work, however many wait."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection
from worker.ledger.counters import COUNTED, OF_BUCKET, PENDING, RECOUNTED, is_counted
from worker.types import Lane

#: Rows of a lane that are looked at for its oldest.
_LOOKED_AT = 1_000

# No index has the rows of a lane in the order of their hints. Three looks together find the oldest: the oldest of each
# bucket (whatever its lane), what is claimed (few), and a bounded look at the queue.
_LANES = f"""
    WITH counted AS ({{counts}}), n AS (
        SELECT state, sum(n)::bigint AS objects FROM counted WHERE state IN ({PENDING}) GROUP BY state
    ), claimed AS MATERIALIZED (
        SELECT bucket, lane, hinted_at FROM inbox WHERE done < wanted AND token IS NOT NULL
    ), held AS (
        SELECT lane, hinted_at FROM claimed WHERE {OF_BUCKET}
    ), oldest AS (
        SELECT found.lane, found.hinted_at
        FROM (SELECT bucket FROM counted WHERE state IN ({PENDING}) GROUP BY bucket HAVING sum(n) > 0) AS b,
             LATERAL (SELECT lane, hinted_at FROM inbox i WHERE i.bucket = b.bucket AND done < wanted
                      ORDER BY hinted_at LIMIT 1) AS found
    ), queued AS ({{queued}}), seen AS (
        SELECT lane, hinted_at FROM held UNION ALL SELECT lane, hinted_at FROM oldest
        UNION ALL SELECT lane, hinted_at FROM queued
    )
    SELECT l.lane, coalesce(max(n.objects), 0)::bigint AS objects,
           (SELECT count(*) FROM held h WHERE h.lane = l.lane) AS in_flight,
           CASE WHEN min(s.hinted_at) IS NOT NULL
                THEN greatest(extract(epoch FROM now() - min(s.hinted_at)), 0)::float8 END AS oldest_seconds,
           {{exact}} AS exact
    FROM (VALUES (0, 'live'), (1, 'retry'), (2, 'backfill')) AS l (lane, state)
    LEFT JOIN n ON n.state = l.state LEFT JOIN seen s ON s.lane = l.lane
    GROUP BY l.lane ORDER BY l.lane
"""  # noqa: S608  # constants
# The first of each lane, in the order in which they are claimed: that is all of the lane, unless more wait there.
_OF_EACH_LANE = f"""
    SELECT l.lane, found.hinted_at
    FROM (VALUES (0), (1), (2)) AS l (lane),
         LATERAL (SELECT hinted_at FROM inbox i WHERE done < wanted AND token IS NULL AND i.lane = l.lane
                  ORDER BY visible_at LIMIT {_LOOKED_AT}) AS found
"""  # noqa: S608
_IF_WHOLE_LANE = f"""
    (SELECT count(*) FROM queued q WHERE q.lane = l.lane) < {_LOOKED_AT}
    OR coalesce(min(s.hinted_at) <= (SELECT min(o.hinted_at) FROM oldest o), false)
"""  # noqa: S608
# The oldest of one bucket, in the order of their hints: the first of a lane is its oldest.
_OF_BUCKET = f"""
    SELECT lane, hinted_at FROM inbox WHERE bucket = :bucket AND done < wanted ORDER BY hinted_at LIMIT {_LOOKED_AT}
"""  # noqa: S608
_IF_FOUND = f"""
    (SELECT count(*) FROM queued) < {_LOOKED_AT} OR EXISTS (SELECT FROM queued q WHERE q.lane = l.lane)
"""  # noqa: S608
# Where nobody has analysed the table since many objects came, the planner would read and sort all that are pending.
_ALONG_THE_INDEX = text("""
    SELECT set_config('enable_sort', :on, true), set_config('enable_seqscan', :on, true),
           set_config('enable_bitmapscan', :on, true)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneBacklog:
    """What is pending in one lane."""

    lane: Lane
    objects: int
    in_flight: int  # of these, claimed by workers now
    oldest_seconds: float | None  # since the oldest was announced; None: nothing is pending, or none was found
    exact: bool  # False: the oldest may have waited for longer than ``oldest_seconds``


def lanes(connection: Connection, *, bucket: str | None = None) -> list[LaneBacklog]:
    """All lanes, the most urgent first, of one bucket or all."""
    queued, exact = (_OF_EACH_LANE, _IF_WHOLE_LANE) if bucket is None else (_OF_BUCKET, _IF_FOUND)
    counts = COUNTED if is_counted(connection) else RECOUNTED
    statement = text(_LANES.format(counts=counts, queued=queued, exact=exact))
    connection.execute(_ALONG_THE_INDEX, {"on": "off"})
    rows = connection.execute(statement, {"bucket": bucket}).all()
    connection.execute(_ALONG_THE_INDEX, {"on": "on"})
    return [
        LaneBacklog(
            lane=Lane(row.lane),
            objects=row.objects,
            in_flight=row.in_flight,
            oldest_seconds=row.oldest_seconds,
            exact=row.exact,
        )
        for row in rows
    ]
