"""How many images were enriched in each of the last minutes, and how long that took. Bounded work at any speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

#: Images that are counted from each end of a minute.
MOST_OF_A_MINUTE = 250
#: Images of a minute whose latency is read.
MOST_LATENCIES = 60

# Each minute is read from both ends of its part of the index ``images_enriched_at``. Where the two parts do not meet,
# the images between them are estimated by the density of both.
_MINUTES = text("""
    SELECT c.start, f.images AS first_images, f.start AS first_start, f."end" AS first_end,
           l.images AS last_images, l.start AS last_start, l."end" AS last_end
    FROM (SELECT now() - make_interval(mins => n) AS start, now() - make_interval(mins => n - 1) AS "end"
          FROM generate_series(CAST(:minutes AS integer), 1, -1) AS n) AS c,
    LATERAL (SELECT count(*) AS images, min(enriched_at) AS start, max(enriched_at) AS "end"
             FROM (SELECT enriched_at FROM images i WHERE i.enriched_at > c.start AND i.enriched_at <= c."end"
                   ORDER BY enriched_at LIMIT :most) AS found) AS f,
    LATERAL (SELECT count(*) AS images, min(enriched_at) AS start, max(enriched_at) AS "end"
             FROM (SELECT enriched_at FROM images i
                   WHERE i.enriched_at > greatest(c.start, f."end") AND i.enriched_at <= c."end" AND f.images = :most
                   ORDER BY enriched_at DESC LIMIT :most) AS found) AS l
    ORDER BY c.start
""")
# Only what an event announced: backfills and reconciliations find objects that were uploaded long before.
_LATENCIES = text("""
    SELECT c.minute, found.seconds
    FROM (SELECT n - 1 AS minute, now() - make_interval(mins => CAST(:minutes AS integer) - n + 1) AS start,
                 now() - make_interval(mins => CAST(:minutes AS integer) - n) AS "end"
          FROM generate_series(1, CAST(:minutes AS integer)) AS n) AS c,
    LATERAL (SELECT greatest(extract(epoch FROM enriched_at - hinted_at), 0)::float8 AS seconds, event_at
             FROM images i WHERE i.enriched_at > c.start AND i.enriched_at <= c."end"
             ORDER BY enriched_at DESC LIMIT :most) AS found
    WHERE found.event_at IS NOT NULL
""")
# Where nobody has analysed the table since many images came, the planner would read and sort all of a minute.
_ALONG_THE_INDEX = text("""
    SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true),
           set_config('enable_bitmapscan', 'off', true)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedSpan:
    """Images that were counted in one go."""

    images: int
    start: datetime | None  # of the first; None: there were none
    end: datetime | None  # of the last


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedMinute:
    """What was counted of the images that were enriched in one minute."""

    start: datetime
    first: CountedSpan  # from the beginning of the minute; below ``MOST_OF_A_MINUTE`` images it is all of them
    last: CountedSpan  # from its end, back to where ``first`` ends at most


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredLatency:
    """One image."""

    minute: int  # its position among the minutes
    seconds: float  # from the receipt of its event to the commit that made it searchable


def minutes(connection: Connection, *, count: int) -> list[CountedMinute]:
    """The last ``count`` minutes up to now, oldest first. Reads at most 500 entries of an index for each.

    The transaction should end soon: the planner follows indexes in it from now on.
    """
    connection.execute(_ALONG_THE_INDEX)
    rows = connection.execute(_MINUTES, {"minutes": count, "most": MOST_OF_A_MINUTE})
    return [
        CountedMinute(
            start=row.start,
            first=CountedSpan(images=row.first_images, start=row.first_start, end=row.first_end),
            last=CountedSpan(images=row.last_images, start=row.last_start, end=row.last_end),
        )
        for row in rows
    ]


def latencies(connection: Connection, *, count: int) -> Sequence[MeasuredLatency]:
    """Of images that an event announced, at most 60 of each minute: those that became searchable last in it.

    The transaction should end soon: the planner follows indexes in it from now on.
    """
    connection.execute(_ALONG_THE_INDEX)
    rows = connection.execute(_LATENCIES, {"minutes": count, "most": MOST_LATENCIES})
    return [MeasuredLatency(minute=row.minute, seconds=row.seconds) for row in rows]
