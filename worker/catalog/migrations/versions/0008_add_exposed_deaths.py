"""Deaths of workers count against an image only while its bytes are at work."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A constant default is kept in the catalog since PostgreSQL 11: no row is rewritten, the lock is held for an instant.
    op.execute("ALTER TABLE inbox ADD COLUMN exposed bigint")
    op.execute("ALTER TABLE inbox ADD COLUMN exposed_deaths integer NOT NULL DEFAULT 0")
    op.execute("COMMENT ON COLUMN inbox.exposed IS 'Token of the claim under which the bytes of a suspect are, or were, at work.'")
    op.execute("COMMENT ON COLUMN inbox.exposed_deaths IS 'Deaths of workers while they were at work on these very bytes.'")
    op.execute("COMMENT ON COLUMN inbox.deaths IS 'Attempts at the pending work that ended with the death of the worker, whatever it was doing.'")


def downgrade() -> None:
    op.execute("COMMENT ON COLUMN inbox.deaths IS 'Attempts at the pending work that ended with the death of the worker.'")
    op.execute("ALTER TABLE inbox DROP COLUMN exposed_deaths")
    op.execute("ALTER TABLE inbox DROP COLUMN exposed")
