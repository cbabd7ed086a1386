"""What the change feed no longer has, and which database it is the feed of."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The cluster's identifier and the database's number: a dump that is restored, and a copy, are another database. Asking
# with the owner's rights, so that all readers get the same answer; where even the owner may not ask, the number must do.
EPOCH = """
CREATE FUNCTION feed_epoch() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    cluster bigint;
BEGIN
    IF has_function_privilege('pg_control_system()', 'EXECUTE') THEN
        SELECT system_identifier INTO cluster FROM pg_control_system();
    END IF;
    RETURN hashtextextended(concat_ws('/', cluster, (SELECT oid FROM pg_database WHERE datname = current_database())), 0);
END $$;
COMMENT ON FUNCTION feed_epoch() IS 'Which database this is: numbers of transactions mean nothing in another one.';
"""

# A constant default is kept in the catalog of tables: no row is rewritten, and the lock is held for a moment.
COLUMN = """
DO $$ BEGIN EXECUTE format('ALTER TABLE changes ADD COLUMN epoch bigint NOT NULL DEFAULT %s', feed_epoch()); END $$;
ALTER TABLE changes ALTER COLUMN epoch SET DEFAULT feed_epoch(), SET (autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON COLUMN changes.epoch IS 'The database that wrote it; rows that came with a dump are not read.';
"""

FEED = """
CREATE TABLE feed (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch      bigint NOT NULL,
    whole      boolean NOT NULL DEFAULT true,
    pruned_xid xid8 NOT NULL DEFAULT '0',
    pruned_id  bigint NOT NULL DEFAULT 0,
    pruned_at  timestamptz NOT NULL DEFAULT to_timestamp(0)
);
INSERT INTO feed (epoch) SELECT feed_epoch();
COMMENT ON TABLE feed IS 'One row: what the change feed no longer has.';
COMMENT ON COLUMN feed.epoch IS 'The database that the rest of the row is about; another one than feed_epoch() until the scheduler has looked.';
COMMENT ON COLUMN feed.whole IS 'Whether it has every change since the catalog was empty.';
COMMENT ON COLUMN feed.pruned_xid IS 'With pruned_id and pruned_at: the last change that was deleted; zeros while none was.';
"""

# One definition for all readers, evaluated in the snapshot of the query that calls it. A place is a change with its time:
# in a database that was set back to an earlier state, the same numbers come again, but not at the same microsecond.
GOES_ON = """
CREATE FUNCTION feed_goes_on(after_xid xid8, after_id bigint, after_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN after_xid IS NULL THEN f.whole AND (f.epoch = d.epoch OR coalesce(
            (SELECT c.epoch FROM changes c ORDER BY c.id LIMIT 1) = d.epoch, true))
        WHEN f.epoch = d.epoch AND (f.pruned_xid, f.pruned_id, f.pruned_at) = (after_xid, after_id, after_at) THEN true
        WHEN f.epoch <> d.epoch AND (after_xid, after_id, after_at) = ('0', 0, to_timestamp(0)) THEN true
        ELSE EXISTS (SELECT FROM changes c
                     WHERE c.id = after_id AND c.xid = after_xid AND c.at = after_at AND c.epoch = d.epoch)
    END
    FROM feed f, (SELECT feed_epoch() AS epoch) AS d
$$;
COMMENT ON FUNCTION feed_goes_on IS 'Whether the feed still has all that comes after a change (of this epoch); nulls: all since the catalog was empty.';
"""


def upgrade() -> None:
    for part in (EPOCH, COLUMN, FEED, GOES_ON):
        op.execute(part)


def downgrade() -> None:
    op.execute("DROP FUNCTION feed_goes_on")
    op.execute("DROP TABLE feed")
    op.execute("ALTER TABLE changes DROP COLUMN epoch, RESET (autovacuum_vacuum_scale_factor)")
    op.execute("DROP FUNCTION feed_epoch")
