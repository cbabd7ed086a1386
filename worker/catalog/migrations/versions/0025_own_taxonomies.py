"""Each taxonomy in force belongs to a set, so that one set's files do not remove what others applied."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Belonging to no set named here means: to the set `default`. So older rows, and those of older releases, need nothing.
    op.execute("ALTER TABLE taxonomy_revisions ADD COLUMN sets jsonb NOT NULL DEFAULT '{}'")
    op.execute(
        "COMMENT ON COLUMN taxonomy_revisions.sets IS 'Name of each taxonomy → the set whose files it belongs to, or "
        "by-hand; default where it is missing.'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE taxonomy_revisions DROP COLUMN sets")
