"""The feed waits on a standby, too, for what its server has not committed yet."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# A snapshot that was taken on a standby names no transactions, though there are some: all that it tells is xmin. On any
# other server a snapshot that names none has nothing but our own transaction between xmin and xmax.
_HORIZON = """
CREATE OR REPLACE FUNCTION feed_horizon() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT x FROM pg_snapshot_xip(s) AS x WHERE feed_waits_for(x) ORDER BY x LIMIT 1), {otherwise})
    FROM pg_current_snapshot() AS s
$$;
"""
_XMAX = "pg_snapshot_xmax(s)"
_XMIN_OF_A_STANDBY = f"CASE WHEN EXISTS (SELECT FROM pg_snapshot_xip(s)) THEN {_XMAX} ELSE pg_snapshot_xmin(s) END"


def upgrade() -> None:
    """To this revision."""
    op.execute(_HORIZON.format(otherwise=_XMIN_OF_A_STANDBY))


def downgrade() -> None:
    """Back again."""
    op.execute(_HORIZON.format(otherwise=_XMAX))
