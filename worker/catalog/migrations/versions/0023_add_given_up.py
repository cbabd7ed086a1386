"""What people gave up stays given up until other bytes come, and is known as that."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE given_up (
    inbox_id bigint PRIMARY KEY REFERENCES inbox ON DELETE CASCADE,
    reason   text NOT NULL,
    message  text NOT NULL,
    etag     text,
    size     bigint,
    first_bytes bytea,
    attempts integer NOT NULL,
    since    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX given_up_in_order ON given_up (since, inbox_id);
COMMENT ON TABLE given_up IS 'What was in quarantine until a person gave it up. Its row of inbox is excluded; other bytes end this.';
COMMENT ON COLUMN given_up.since IS 'When it was given up.';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE given_up")
