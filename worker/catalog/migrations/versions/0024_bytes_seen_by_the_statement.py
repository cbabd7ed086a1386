"""A person's tag is of the bytes that its statement saw, however long that takes."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# A volatile function sees what is committed when it asks, a stable one what the statement saw when it began. Triggers
# fire in the order of their names: this one first.
SEEN = """
CREATE FUNCTION note_bytes_seen() RETURNS trigger LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    PERFORM set_config('enrich.bytes_seen',
                       coalesce((SELECT encode(i.sha256, 'hex') FROM images i WHERE i.id = NEW.image_id), ''), true);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION note_bytes_seen IS 'Which bytes an image had when the statement began that tags it; for bind_to_bytes.';
CREATE TRIGGER bytes_seen BEFORE INSERT ON tags FOR EACH ROW WHEN (NEW.source = 'human')
    EXECUTE FUNCTION note_bytes_seen();
"""
# As 0021 has it, but for `seen`.
_BIND = """
CREATE OR REPLACE FUNCTION bind_to_bytes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    seen bytea;
    image record;
BEGIN
    {seen}
    SELECT i.bucket, i.key, i.sha256 INTO image FROM images i WHERE i.id = NEW.image_id FOR SHARE;
    IF seen <> '' AND image.sha256 <> seen THEN
        INSERT INTO tags_set_aside AS s (bucket, key, sha256, taxonomy, taxonomy_version, label, decided_at)
        VALUES (image.bucket, image.key, seen, NEW.taxonomy, NEW.taxonomy_version, NEW.label, NEW.decided_at)
        ON CONFLICT (bucket, key, sha256, taxonomy, label) DO UPDATE SET
            taxonomy_version = excluded.taxonomy_version, decided_at = excluded.decided_at;
        RAISE WARNING '%/% was overwritten while it was tagged: the tag is kept for the bytes before; look at it again',
            image.bucket, image.key;
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
"""
_BY_THE_STATEMENT = "seen := decode(current_setting('enrich.bytes_seen'), 'hex');"
_BY_THE_TRIGGER = "SELECT i.sha256 INTO seen FROM images i WHERE i.id = NEW.image_id;"
# Replacing a function forgets its settings.
_SEARCH_PATH = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION {name} SET search_path = %s, pg_temp', current_setting('search_path'));
    REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
END $$;
"""


def upgrade() -> None:
    op.execute("LOCK TABLE tags IN SHARE ROW EXCLUSIVE MODE")
    op.execute(SEEN)
    op.execute(_SEARCH_PATH.format(name="note_bytes_seen"))
    op.execute(_BIND.format(seen=_BY_THE_STATEMENT))
    op.execute(_SEARCH_PATH.format(name="bind_to_bytes"))


def downgrade() -> None:
    op.execute("DROP TRIGGER bytes_seen ON tags")
    op.execute("DROP FUNCTION note_bytes_seen")
    op.execute(_BIND.format(seen=_BY_THE_TRIGGER))
    op.execute(_SEARCH_PATH.format(name="bind_to_bytes"))
