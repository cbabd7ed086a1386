"""Several labels of a taxonomy."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A constant default is kept in the catalog of tables: no row is rewritten, and the lock is held for a moment.
COLUMN = """
ALTER TABLE taxonomies ADD COLUMN many boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN taxonomies.many IS 'Whether an image can have several of its labels: views show a list then, else a text.';
"""

VIEW = """
CREATE OR REPLACE VIEW enriched_images AS
SELECT i.bucket, i.key, i.etag, i.version_id, i.size, i.last_modified, i.content_type, i.width, i.height, i.format, i.mode,
       i.frames, i.orientation, i.taken_at, i.taken_offset, i.camera_make, i.camera_model, i.latitude, i.longitude,
       i.altitude, encode(i.sha256, 'hex') AS sha256, i.phash, i.enriched_at,
       coalesce({tags}, '{{}}') AS tags,
       i.id AS image_id
FROM images i;
COMMENT ON VIEW enriched_images IS 'For other services: one row per image, tags as {shape}.';
"""

# Two labels are never made one, whatever the taxonomy says: the second may be a person's.
SEVERAL = """(
    SELECT jsonb_object_agg(g.taxonomy, g.labels) FROM (
        SELECT t.taxonomy, CASE WHEN bool_or(v.many) OR count(*) > 1 THEN jsonb_agg(t.label ORDER BY t.label COLLATE "C")
                                ELSE to_jsonb(min(t.label)) END AS labels
        FROM image_tags t LEFT JOIN taxonomies v ON v.name = t.taxonomy AND v.version = t.taxonomy_version
        WHERE t.image_id = i.id GROUP BY t.taxonomy) AS g)"""
ONE = "(SELECT jsonb_object_agg(t.taxonomy, t.label) FROM image_tags t WHERE t.image_id = i.id)"


def upgrade() -> None:
    op.execute(COLUMN)
    op.execute(VIEW.format(tags=SEVERAL, shape='{"taxonomy": "label"}, or a list of labels where there can be several'))


def downgrade() -> None:
    op.execute(VIEW.format(tags=ONE, shape='{"taxonomy": "label"}'))
    op.execute("ALTER TABLE taxonomies DROP COLUMN many")
