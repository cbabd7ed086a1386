"""User metadata of objects, which filters may ask for."""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

COLUMN = """
ALTER TABLE images ADD COLUMN user_metadata jsonb;
COMMENT ON COLUMN images.user_metadata IS
    'The object''s x-amz-meta-… headers, by name in lower case, as far as ENRICH_USER_METADATA asks for them.';
"""
# Built behind the migrations: see worker/catalog/indexes.py.
_INDEXES = "DROP INDEX IF EXISTS images_camera, images_place, images_user_metadata"


def upgrade() -> None:
    op.execute(COLUMN)


def downgrade() -> None:
    op.execute(_INDEXES)
    op.execute("ALTER TABLE images DROP COLUMN user_metadata")
