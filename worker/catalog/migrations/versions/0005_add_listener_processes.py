"""A fourth kind of process: the listener."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A few rows: checking them takes no time.
    op.execute("ALTER TABLE processes DROP CONSTRAINT processes_kind_check")
    op.execute(
        "ALTER TABLE processes ADD CONSTRAINT processes_kind_check "
        "CHECK (kind IN ('api', 'worker', 'scheduler', 'listener'))"
    )


def downgrade() -> None:
    op.execute("DELETE FROM processes WHERE kind = 'listener'")
    op.execute("ALTER TABLE processes DROP CONSTRAINT processes_kind_check")
    op.execute(
        "ALTER TABLE processes ADD CONSTRAINT processes_kind_check CHECK (kind IN ('api', 'worker', 'scheduler'))"
    )
