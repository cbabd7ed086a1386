"""When somebody last asked for a comparison out of turn."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reconciliations ADD COLUMN asked_at timestamptz")
    op.execute(
        "COMMENT ON COLUMN reconciliations.asked_at IS 'When a whole round was last asked for, since events may have "
        "been lost; a round that began before does not count.'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE reconciliations DROP COLUMN asked_at")
