"""How many objects stand where, counted by every transaction that moves one."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# A row that everybody updates would make writers wait for each other until they commit. So each statement adds a row for
# each state that it changed, seldom more than two, and the scheduler folds them. What a state comes to is the sum of
# both, at any moment, in any snapshot.
TABLES = """
CREATE TABLE ledger_counts (
    bucket  text COLLATE "C" NOT NULL,
    state   text NOT NULL,
    reason  text NOT NULL,
    objects bigint NOT NULL,
    PRIMARY KEY (bucket, state, reason)
) WITH (fillfactor = 50);
CREATE TABLE ledger_deltas (
    bucket  text COLLATE "C" NOT NULL,
    state   text NOT NULL,
    reason  text NOT NULL,
    objects bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE TABLE ledger_counted (one boolean PRIMARY KEY DEFAULT true CHECK (one), since timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE ledger_counts IS 'How many rows of inbox are in each state, but for ledger_deltas.';
COMMENT ON COLUMN ledger_counts.reason IS 'Why pending rows are tried again; empty for all others.';
COMMENT ON TABLE ledger_deltas IS 'Changes of ledger_counts, added by triggers on inbox, until the scheduler folds them.';
COMMENT ON TABLE ledger_counted IS 'One row once the rows that were there before the triggers are counted, too.';
"""
STATE = """
CREATE FUNCTION ledger_state(done bigint, wanted bigint, lane smallint, outcome text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN done < wanted THEN CASE lane WHEN 0 THEN 'live' WHEN 1 THEN 'retry' ELSE 'backfill' END ELSE outcome END
$$;
COMMENT ON FUNCTION ledger_state IS 'Which count a row of inbox is part of: its outcome, or the lane in which it is pending.';
"""
_MOVED = """
    SELECT bucket, coalesce(ledger_state(done, wanted, lane, outcome), ''),
           CASE WHEN done < wanted THEN coalesce(retry_reason, '') ELSE '' END, {n} FROM {table}
"""
_AFTER, _BEFORE = _MOVED.format(table="after", n=1), _MOVED.format(table="before", n=-1)
_COUNT = """
CREATE FUNCTION count_{event}_in_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_deltas (bucket, state, reason, objects)
    SELECT bucket, state, reason, sum(n) FROM ({rows}) AS moved (bucket, state, reason, n)
    GROUP BY 1, 2, 3 HAVING sum(n) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER count_{event} AFTER {event} ON inbox REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION count_{event}_in_ledger();
"""

# In the order in which a worker's transaction comes to them: this one keeps its locks until 0019 has made the triggers
# on the others, and a worker that waits for inbox has written vectors before.
LOCK = "LOCK TABLE embeddings, owed_vectors, inbox IN SHARE ROW EXCLUSIVE MODE"


def upgrade() -> None:
    op.execute(LOCK)
    op.execute(TABLES)
    op.execute(STATE)
    both = f"{_AFTER} UNION ALL {_BEFORE}"
    op.execute(_COUNT.format(event="insert", rows=_AFTER, tables="NEW TABLE AS after"))
    op.execute(_COUNT.format(event="update", rows=both, tables="OLD TABLE AS before NEW TABLE AS after"))
    op.execute(_COUNT.format(event="delete", rows=_BEFORE, tables="OLD TABLE AS before"))
    # A ledger with rows is counted by the scheduler, without a lock: writers wait only while the triggers are made.
    op.execute("INSERT INTO ledger_counted (one) SELECT true WHERE NOT EXISTS (SELECT FROM inbox)")


def downgrade() -> None:
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER count_{event} ON inbox")
        op.execute(f"DROP FUNCTION count_{event}_in_ledger")
    op.execute("DROP FUNCTION ledger_state")
    op.execute("DROP TABLE ledger_counts, ledger_deltas, ledger_counted")
