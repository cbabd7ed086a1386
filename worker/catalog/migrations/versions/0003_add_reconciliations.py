"""Where the reconciliation of each watched bucket is."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE reconciliations (
    bucket          text COLLATE "C" NOT NULL,
    prefix          text COLLATE "C" NOT NULL,
    due_at          timestamptz NOT NULL DEFAULT now(),
    token           bigint,
    cursor          text,
    key_order       text NOT NULL DEFAULT 'bytes' CHECK (key_order IN ('bytes', 'folders', 'any')),
    added_at        timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    listed          bigint NOT NULL DEFAULT 0,
    missing         bigint NOT NULL DEFAULT 0,
    stale           bigint NOT NULL DEFAULT 0,
    ghost           bigint NOT NULL DEFAULT 0,
    unnameable      bigint NOT NULL DEFAULT 0,
    last_listed     bigint NOT NULL DEFAULT 0,
    last_missing    bigint NOT NULL DEFAULT 0,
    last_stale      bigint NOT NULL DEFAULT 0,
    last_ghost      bigint NOT NULL DEFAULT 0,
    last_unnameable bigint NOT NULL DEFAULT 0,
    last_error      text,
    failed_at       timestamptz,
    PRIMARY KEY (bucket, prefix)
);
COMMENT ON TABLE reconciliations IS 'One row per watched bucket or prefix: the round under way, and the last one.';
COMMENT ON COLUMN reconciliations.due_at IS 'When the next page may be taken: the pace, the end of a lease, the next round.';
COMMENT ON COLUMN reconciliations.cursor IS 'Last key compared in the round under way; null between rounds.';
COMMENT ON COLUMN reconciliations.key_order IS 'The order that the store was seen to list in.';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE reconciliations")
