"""How pictures were exposed, and with which lens."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# Without a default no row is rewritten, and the lock is held for a moment. Rows from before stay null.
COLUMNS = """
ALTER TABLE images
    ADD COLUMN iso               integer,
    ADD COLUMN exposure_time     double precision,
    ADD COLUMN f_number          double precision,
    ADD COLUMN focal_length      double precision,
    ADD COLUMN focal_length_35mm integer,
    ADD COLUMN lens_make         text,
    ADD COLUMN lens_model        text;
COMMENT ON COLUMN images.taken_at IS 'EXIF DateTimeOriginal, else DateTimeDigitized, else DateTime: the camera''s wall clock.';
COMMENT ON COLUMN images.iso IS 'EXIF: sensitivity.';
COMMENT ON COLUMN images.exposure_time IS 'EXIF: seconds.';
COMMENT ON COLUMN images.focal_length IS 'EXIF: millimetres.';
COMMENT ON COLUMN images.focal_length_35mm IS 'EXIF: millimetres that give the same angle on 35 mm film.';
"""
_NAMES = ("iso", "exposure_time", "f_number", "focal_length", "focal_length_35mm", "lens_make", "lens_model")

# As 0002 has it. New columns come last, so that the view stays the same object, with its rights.
VIEW = """
CREATE OR REPLACE VIEW enriched_images AS
SELECT i.bucket, i.key, i.etag, i.version_id, i.size, i.last_modified, i.content_type, i.width, i.height, i.format, i.mode,
       i.frames, i.orientation, i.taken_at, i.taken_offset, i.camera_make, i.camera_model, i.latitude, i.longitude,
       i.altitude, encode(i.sha256, 'hex') AS sha256, i.phash, i.enriched_at,
       coalesce((
    SELECT jsonb_object_agg(g.taxonomy, g.labels) FROM (
        SELECT t.taxonomy, CASE WHEN bool_or(v.many) OR count(*) > 1 THEN jsonb_agg(t.label ORDER BY t.label COLLATE "C")
                                ELSE to_jsonb(min(t.label)) END AS labels
        FROM image_tags t LEFT JOIN taxonomies v ON v.name = t.taxonomy AND v.version = t.taxonomy_version
        WHERE t.image_id = i.id GROUP BY t.taxonomy) AS g), '{{}}') AS tags,
       i.id AS image_id{more}
FROM images i;
COMMENT ON VIEW enriched_images IS
    'For other services: one row per image, tags as {{"taxonomy": "label"}}, or a list of labels where there can be several.';
"""
# A view loses columns only by being made again, and would lose with them who may read it.
_WITHOUT = """
DO $do$ DECLARE
    rights aclitem[] := (SELECT relacl FROM pg_class WHERE oid = 'enriched_images'::regclass);
    each record;
BEGIN
    DROP VIEW enriched_images;
    EXECUTE $view${view}$view$;
    FOR each IN SELECT r.grantee, r.privilege_type FROM aclexplode(rights) AS r WHERE r.grantee <> r.grantor LOOP
        EXECUTE format('GRANT %s ON enriched_images TO %s', each.privilege_type,
                       CASE WHEN each.grantee = 0 THEN 'PUBLIC' ELSE each.grantee::regrole::text END);
    END LOOP;
END $do$;
"""
_OF_BEFORE = "COMMENT ON COLUMN images.taken_at IS 'EXIF DateTimeOriginal: the camera''s wall clock.'"


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(VIEW.format(more="".join(f",\n       i.{name}" for name in _NAMES)))


def downgrade() -> None:
    op.execute(_WITHOUT.format(view=VIEW.format(more="")))
    op.execute("ALTER TABLE images " + ", ".join(f"DROP COLUMN {name}" for name in _NAMES))
    op.execute(_OF_BEFORE)
