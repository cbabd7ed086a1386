"""Login codes of the pages that were used."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE used_login_codes (
    nonce      text COLLATE "C" PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE used_login_codes IS 'Login links that were used, until they expire: each logs in once.';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE used_login_codes")
