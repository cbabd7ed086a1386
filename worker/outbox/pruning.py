"""Deletes old changes so that every reader notices the gap."""

from __future__ import annotations

from sqlalchemy import text

from worker.db import Connection
from worker.outbox.feed import along_the_index

# One at a time; whoever finds another one at it has nothing to do.
_LOCK = text("SELECT epoch = feed_epoch() AS ours FROM feed FOR UPDATE SKIP LOCKED")
_ADOPT = text("""
    UPDATE feed SET whole = feed_goes_on(NULL, NULL, NULL), epoch = feed_epoch(), pruned_xid = '0', pruned_id = 0,
                    pruned_at = to_timestamp(0)
""")
# Rows that came with a dump are the first: ids go on behind them.
_STRANGERS = text("""
    WITH first AS (SELECT id, epoch FROM changes ORDER BY id LIMIT :limit)
    DELETE FROM changes WHERE id = ANY(ARRAY(SELECT id FROM first WHERE epoch <> (SELECT feed_epoch())))
""")
# A beginning of the commit order, and nothing of it that is younger: behind the last change that is gone, all are
# there. Below the horizon no change can come in between any more.
_PRUNE = text("""
    WITH oldest AS MATERIALIZED (
        SELECT c.xid, c.id, c.at, c.at < now() - make_interval(secs => :keep) AS old FROM changes c
        WHERE c.epoch = (SELECT epoch FROM feed) AND c.xid < feed_horizon()
          AND (c.xid, c.id) > (SELECT pruned_xid, pruned_id FROM feed)
        ORDER BY c.xid, c.id LIMIT :limit
    ), lead AS MATERIALIZED (
        SELECT o.xid, o.id, o.at FROM (SELECT *, bool_and(old) OVER (ORDER BY xid, id) AS lead FROM oldest) AS o
        WHERE o.lead
    ), gone AS (
        DELETE FROM changes WHERE id = ANY(ARRAY(SELECT id FROM lead))
    )
    UPDATE feed SET whole = false,
        (pruned_xid, pruned_id, pruned_at) = (SELECT xid, id, at FROM lead ORDER BY xid DESC, id DESC LIMIT 1)
    WHERE EXISTS (SELECT FROM lead) RETURNING (SELECT count(*) FROM lead)
""")


def prune(connection: Connection, *, keep: float | None, limit: int) -> int:
    """Delete the oldest changes, and in a restored database those of the original one.

    Args:
        connection: in a transaction of its own: it locks the feed against others who prune, not against anybody else.
        keep: seconds for which changes are kept; None: for good.
        limit: most changes deleted of either kind.

    Returns:
        How many were deleted; at least ``limit`` where there may be more.
    """
    state = connection.execute(_LOCK).one_or_none()
    if state is None:
        return 0
    if not state.ours:
        connection.execute(_ADOPT)
    along_the_index(connection)
    deleted = connection.execute(_STRANGERS, {"limit": limit}).rowcount
    if keep is not None:
        deleted += connection.execute(_PRUNE, {"keep": keep, "limit": limit}).scalar_one_or_none() or 0
    return int(deleted)
