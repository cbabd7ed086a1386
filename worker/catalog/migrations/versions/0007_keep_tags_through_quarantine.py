"""What people decided about an image outlives its time in quarantine."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE tags_set_aside (
    bucket           text COLLATE "C" NOT NULL,
    key              text COLLATE "C" NOT NULL,
    taxonomy         text NOT NULL,
    taxonomy_version text NOT NULL,
    label            text,
    decided_at       timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (bucket, key, taxonomy, label)
);
COMMENT ON TABLE tags_set_aside IS 'People''s tags of objects that left the catalog but not the bucket. They return with the image.';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE tags_set_aside")
