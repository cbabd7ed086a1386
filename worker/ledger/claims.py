"""Taking work: claims are leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection
from worker.ledger.floors import NONE, Floors
from worker.ledger.hints import GUESS
from worker.types import ObjectRef

#: Rows at either end of a lane that are checked for several buckets.
_WINDOW = 1_000

# Why this is safe with any number of workers: every branch locks the rows it returns with SKIP LOCKED, so two claims
# never see the same row and never wait; after the lock PostgreSQL checks the WHERE on the newest version of the row, so
# a row that was claimed or completed in between is not returned. The lease's end is stored in visible_at: an expired
# lease is simply a visible row again, by the database's clock.
#
# The rows are found again through an array and not by a join: a join is planned for a tenth of everything that is
# pending (the planner cannot tell what a computed LIMIT comes to) and reads the ledger from its start.
#
# Where the scans begin is a matter of cost only: see floors.py. A row below a floor is not lost but found later.
#
# A row that is visible and still has a token was in the hands of a worker that died. It is taken alone, so an image
# that kills its process is told apart from its neighbours. All such deaths are counted; only those that came while the
# image's bytes were at work (expose(), below) say something about the image.
# A hint that came since may mean other bytes: deaths are counted anew, or a good file would pay for what it replaced.
_TAKE = f"""
    UPDATE inbox SET
        claimed    = wanted,
        token      = (SELECT nextval('inbox_token_seq')),
        attempts   = attempts + 1 - CASE WHEN claimed < wanted THEN deaths ELSE 0 END,
        deaths     = CASE WHEN claimed < wanted THEN 0 ELSE deaths END
                     + CASE WHEN token IS NOT NULL AND worker IS NOT NULL THEN 1 ELSE 0 END,
        exposed_deaths = CASE WHEN claimed < wanted THEN 0 ELSE exposed_deaths END
                         + CASE WHEN exposed = token AND worker IS NOT NULL THEN 1 ELSE 0 END,
        visible_at = now() + make_interval(secs => :lease),
        worker     = :worker
    WHERE id = ANY(ARRAY(SELECT id FROM chosen))
    RETURNING id, bucket, key, token, attempts, deaths, exposed_deaths, event_at, hinted_at,
              outcome IS NULL AND source = '{GUESS}' AS guess,
              (SELECT etag FROM given_up g WHERE g.inbox_id = inbox.id) AS given_up,
              EXISTS (SELECT FROM suspect) AS suspect
"""  # noqa: S608  # a constant
_CLAIM = text(f"""
    WITH suspect AS (
        SELECT id FROM inbox
        WHERE done < wanted AND token IS NOT NULL AND visible_at <= now()
          AND visible_at >= coalesce(CAST(:from_leased AS timestamptz), '-infinity')
        ORDER BY visible_at LIMIT :suspects FOR UPDATE SKIP LOCKED
    ), live AS (
        SELECT id FROM inbox
        WHERE done < wanted AND token IS NULL AND lane = 0 AND visible_at <= now() AND NOT EXISTS (SELECT FROM suspect)
          AND visible_at >= coalesce(CAST(:from_live AS timestamptz), '-infinity')
        ORDER BY visible_at LIMIT :size FOR UPDATE SKIP LOCKED
    ), retries AS (
        SELECT id FROM inbox
        WHERE done < wanted AND token IS NULL AND lane = 1 AND visible_at <= now() AND NOT EXISTS (SELECT FROM suspect)
          AND visible_at >= coalesce(CAST(:from_retries AS timestamptz), '-infinity')
        ORDER BY visible_at LIMIT :size - (SELECT count(*) FROM live) FOR UPDATE SKIP LOCKED
    ), backfill AS (
        SELECT id FROM inbox
        WHERE done < wanted AND token IS NULL AND lane = 2 AND visible_at <= now() AND NOT EXISTS (SELECT FROM suspect)
          AND visible_at >= coalesce(CAST(:from_backfill AS timestamptz), '-infinity')
        ORDER BY visible_at LIMIT :size - (SELECT count(*) FROM live) - (SELECT count(*) FROM retries)
        FOR UPDATE SKIP LOCKED
    ), chosen AS (
        SELECT id FROM suspect UNION ALL SELECT id FROM live
        UNION ALL SELECT id FROM retries UNION ALL SELECT id FROM backfill
    )
    {_TAKE}
""")  # noqa: S608  # a constant

# What is tried while something is away: the oldest and the newest of each lane, of several buckets at either end. What
# is first in line may be what never works, and so may all that came with it. The windows bound what is read; the rows
# are locked as above, in a step of their own, because window functions cannot lock.
_PROBE = text(f"""
    WITH suspect AS (
        SELECT id FROM inbox
        WHERE done < wanted AND token IS NOT NULL AND visible_at <= now()
        ORDER BY visible_at LIMIT :suspects FOR UPDATE SKIP LOCKED
    ), near AS (
        SELECT lane, found.* FROM (VALUES (0), (1), (2)) AS lanes (lane), LATERAL (
            (SELECT id, bucket, 0 AS turned, visible_at - now() AS place FROM inbox i
             WHERE done < wanted AND token IS NULL AND i.lane = lanes.lane AND visible_at <= now()
             ORDER BY visible_at LIMIT {_WINDOW})
            UNION ALL
            (SELECT id, bucket, 1 AS turned, now() - visible_at AS place FROM inbox i
             WHERE done < wanted AND token IS NULL AND i.lane = lanes.lane AND visible_at <= now()
             ORDER BY visible_at DESC LIMIT {_WINDOW})
        ) AS found
    ), ranked AS (
        SELECT id, lane, place, row_number() OVER (PARTITION BY lane, turned, bucket ORDER BY place) AS nth FROM near
    ), wished AS (
        SELECT id FROM ranked WHERE nth <= :each GROUP BY id ORDER BY min(nth), min(lane), min(place) LIMIT :size
    ), fresh AS (
        SELECT id FROM inbox
        WHERE id = ANY(ARRAY(SELECT id FROM wished)) AND done < wanted AND token IS NULL AND visible_at <= now()
          AND NOT EXISTS (SELECT FROM suspect)
        FOR UPDATE SKIP LOCKED
    ), chosen AS (
        SELECT id FROM suspect UNION ALL SELECT id FROM fresh
    )
    {_TAKE}
""")  # noqa: S608  # constants

# Only leases that still run can be renewed: one that ended may be in another worker's hands already. Locked in key
# order, like hints, so that the two never deadlock.
_RENEW = text("""
    UPDATE inbox SET visible_at = now() + make_interval(secs => :lease)
    WHERE id = ANY(ARRAY(SELECT id FROM inbox
                         WHERE token = ANY(CAST(:tokens AS bigint[])) AND visible_at > now() AND done < wanted
                         ORDER BY bucket, key FOR UPDATE))
    RETURNING token
""")

# The token itself is kept, so that nothing has to be cleared: the next claim has another one.
_EXPOSE = text("UPDATE inbox SET exposed = token WHERE id = :id AND token = :token AND visible_at > now()")


_URGENT = text("""
    SELECT EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane IN (0, 1) AND visible_at <= now())
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedObject:
    """One claimed object."""

    id: int  # of the inbox row
    ref: ObjectRef
    attempts: int  # including this one
    deaths: int  # of these, how many ended with the worker's death, whatever it was doing
    exposed_deaths: int  # of these, how many while it was at work on this image's bytes
    event_at: datetime | None  # when the store says it happened
    hinted_at: datetime  # when the pending work was first hinted at
    given_up: str | None = None  # the etag of bytes that a person gave up: to be read only if there are others now
    guess: bool = False  # only another reading of a name has ever named it: most likely there is no such object

    @property
    def tries(self) -> int:
        """Attempts that ended by themselves, plus this one: the number that limits retries."""
        return self.attempts - self.deaths


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A batch claimed until its lease ends. Callers may not assume that they still hold it: the token decides."""

    token: int
    suspect: bool  # its previous holder died with it; there is exactly one object, to be worked on alone
    objects: tuple[ClaimedObject, ...]


def claim(
    connection: Connection,
    *,
    worker: str,
    size: int,
    lease: float,
    poison_images: bool = True,
    of_each_lane: int | None = None,
    floors: Floors | None = None,
) -> Claim | None:
    """Take up to ``size`` visible objects for ``lease`` seconds: live work first, then retries, then backfill.

    Attempts are counted here, so that an attempt that kills the process counts. Commit before working.

    Args:
        worker: name kept on the row, for people.
        poison_images: whether to take objects whose last holder died (always one at a time).
        of_each_lane: take this many of the oldest and as many of the newest of each lane, of every bucket seen there.
            Such a try shows what works, where what is first in line may be what never does.
        floors: where to begin to look; None: at the start, which reads whatever vacuum has not removed yet.

    Returns:
        None when nothing is visible.
    """
    parameters = {
        "size": size,
        "lease": lease,
        "worker": worker,
        "suspects": int(poison_images),
        **(NONE if floors is None else floors.now(connection)),
    }
    if of_each_lane is None:
        rows = connection.execute(_CLAIM, parameters).all()
    else:
        rows = connection.execute(_PROBE, {**parameters, "each": of_each_lane}).all()
    if not rows:
        return None
    objects = tuple(
        ClaimedObject(
            id=row.id,
            ref=ObjectRef(bucket=row.bucket, key=row.key),
            attempts=row.attempts,
            deaths=row.deaths,
            exposed_deaths=row.exposed_deaths,
            event_at=row.event_at,
            hinted_at=row.hinted_at,
            guess=row.guess,
            given_up=row.given_up,
        )
        for row in rows
    )
    return Claim(token=rows[0].token, suspect=rows[0].suspect, objects=objects)


def renew(connection: Connection, tokens: Sequence[int], *, lease: float) -> frozenset[int]:
    """Extend the leases of current claims to ``lease`` seconds from now.

    Returns:
        The tokens still held. A missing one was lost: what its holder writes will be refused.
    """
    held = connection.execute(_RENEW, {"tokens": list(tokens), "lease": lease}).scalars()
    return frozenset(held)


def expose(connection: Connection, token: int, id: int) -> bool:  # noqa: A002  # of the row, as everywhere here
    """Record that an object's bytes are being processed: until its claim ends, a death of the worker is evidence.

    Commit before touching the bytes.

    Returns:
        Whether the claim is still held.
    """
    return bool(connection.execute(_EXPOSE, {"token": token, "id": id}).rowcount)


def urgent(connection: Connection) -> bool:
    """Whether live uploads or retries wait for a worker, so that less urgent work yields to them."""
    return bool(connection.execute(_URGENT).scalar_one())
