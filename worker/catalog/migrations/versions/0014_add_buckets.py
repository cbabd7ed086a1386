"""Which buckets there are, and since when others are missing."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BUCKETS = """
CREATE TABLE buckets (
    name          text COLLATE "C" PRIMARY KEY,
    endpoint      text,
    found_at      timestamptz,
    missing_since timestamptz,
    missing_from  text,
    gone_at       timestamptz,
    swept_at      timestamptz
);
COMMENT ON TABLE buckets IS 'Buckets that the ledger knows objects of, as the scheduler last found the store to have them.';
COMMENT ON COLUMN buckets.endpoint IS 'The store that had it when it was found last; null: none ever had.';
COMMENT ON COLUMN buckets.missing_since IS 'Since then the store has said each time that it has no such bucket.';
COMMENT ON COLUMN buckets.missing_from IS 'The store that says so.';
COMMENT ON COLUMN buckets.gone_at IS 'Since then it counts as deleted: objects that the store does not find in it end as gone.';
COMMENT ON COLUMN buckets.swept_at IS 'When everything that was known of it had been made pending work.';
"""


def upgrade() -> None:
    """To this revision."""
    op.execute(BUCKETS)


def downgrade() -> None:
    """Back again."""
    op.execute("DROP TABLE buckets")
