"""Which changes the feed has: the oldest and the newest, without reading those between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection
from worker.outbox.feed import along_the_index, end

# In commit order; the newest is what a reader can see, not what is still undecided.
_EXTENT = text("""
    WITH feed_now AS MATERIALIZED (SELECT feed_epoch() AS epoch)
    SELECT (SELECT at FROM changes WHERE epoch = (SELECT epoch FROM feed_now) AND xid < feed_horizon()
            ORDER BY xid LIMIT 1) AS oldest_at,
           (SELECT at FROM changes WHERE epoch = (SELECT epoch FROM feed_now) AND xid < feed_horizon()
            ORDER BY xid DESC, id DESC LIMIT 1) AS newest_at
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedExtent:
    """The ends of the feed."""

    end: str  # cursor behind the newest change
    newest_at: datetime | None  # when the newest change was made; None: the feed is empty
    oldest_at: datetime | None  # when the oldest change was made that is still kept


def extent(connection: Connection) -> FeedExtent:
    """The ends of the feed, as a reader sees them now. Two probes of an index."""
    cursor = end(connection)
    along_the_index(connection)
    row = connection.execute(_EXTENT).one()
    return FeedExtent(end=cursor, newest_at=row.newest_at, oldest_at=row.oldest_at)
