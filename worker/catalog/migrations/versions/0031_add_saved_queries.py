"""Saved queries: searches by name."""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE saved_queries (
    name       text COLLATE "C" PRIMARY KEY,
    query      jsonb NOT NULL,
    space_id   integer REFERENCES spaces,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE saved_queries IS 'Searches that people saved under a name.';
COMMENT ON COLUMN saved_queries.query IS 'A request as POST /v1/search takes it. Files are kept as their vectors.';
COMMENT ON COLUMN saved_queries.space_id IS 'The space of its vectors; null: it has none, and is good in any space.';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE saved_queries")
