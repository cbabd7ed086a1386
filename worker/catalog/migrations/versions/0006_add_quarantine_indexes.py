"""Indexes that the quarantine is read by, in the order in which entries came."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


# Not concurrently: even a million entries, which is a lot for a quarantine, take about a second.
def upgrade() -> None:
    op.execute("CREATE INDEX quarantine_in_order ON quarantine (since, inbox_id)")
    op.execute("CREATE INDEX quarantine_by_reason ON quarantine (reason, since, inbox_id)")
    op.execute("DROP INDEX quarantine_reason")


def downgrade() -> None:
    op.execute("CREATE INDEX quarantine_reason ON quarantine (reason, since)")
    op.execute("DROP INDEX quarantine_by_reason, quarantine_in_order")
