"""The feed waits for transactions that can write it, and for no other."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# What was under way when the snapshot was taken counts, unless it is known to be another's: whoever has an xid holds a
# lock on it, which says which session that is. A transaction whose lock is not found, because it has just got its xid or
# has just ended, counts. So the mistake that this can make is to wait.
#
# Sessions are told apart by their names, and the trigger below sees to it that only those write the feed.
HORIZON = """
CREATE FUNCTION feed_waits_for(xid8) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.transactionid = CAST($1 AS xid)
          AND (a.datname IS DISTINCT FROM current_database() OR NOT starts_with(a.application_name, 'enrich ')
               OR a.application_name = 'enrich migrate'))
$$;
CREATE FUNCTION feed_horizon() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT x FROM pg_snapshot_xip(s) AS x WHERE feed_waits_for(x) ORDER BY x LIMIT 1), pg_snapshot_xmax(s))
    FROM pg_current_snapshot() AS s
$$;
COMMENT ON FUNCTION feed_waits_for IS 'Whether a transaction that is under way may write into the feed.';
COMMENT ON FUNCTION feed_horizon IS 'Below it the feed does not change any more: every transaction that could write it has ended, as this snapshot sees it.';
COMMENT ON TABLE changes IS 'Change feed. Read rows below feed_horizon(), ordered by (xid, id): nothing is skipped.';
"""
GUARD = """
CREATE FUNCTION refuse_strangers_in_the_feed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT starts_with(current_setting('application_name'), 'enrich ') OR current_setting('application_name') = 'enrich migrate' THEN
        RAISE 'this session is named "%", and readers of the feed wait only for those that are named "enrich …"',
            current_setting('application_name')
            USING HINT = 'Let whatever is between us and the database pass on application_name.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_strangers BEFORE INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION refuse_strangers_in_the_feed();
"""


def upgrade() -> None:
    for part in (HORIZON, GUARD):
        op.execute(part)


def downgrade() -> None:
    op.execute("DROP TRIGGER refuse_strangers ON changes")
    op.execute("DROP FUNCTION refuse_strangers_in_the_feed, feed_horizon, feed_waits_for")
