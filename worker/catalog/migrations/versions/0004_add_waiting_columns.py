"""Why objects are tried again, and what a process waits for."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns without a default: the catalog changes, no row is rewritten.
    op.execute("ALTER TABLE inbox ADD COLUMN retry_reason text")
    op.execute("COMMENT ON COLUMN inbox.retry_reason IS 'Why the pending work is tried again; codes as in docs/completeness.md.'")
    op.execute("ALTER TABLE processes ADD COLUMN waiting text")
    op.execute("COMMENT ON COLUMN processes.waiting IS 'What the process waits for before it takes work; null: for nothing.'")


def downgrade() -> None:
    op.execute("ALTER TABLE processes DROP COLUMN waiting")
    op.execute("ALTER TABLE inbox DROP COLUMN retry_reason")
