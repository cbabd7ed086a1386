"""What people decided about an image is bound to its bytes: it is in force while the key holds them, and kept otherwise."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Rows from before have no sha256: nobody noted of which bytes they are. They return with the next image, as was promised.
COLUMN = """
ALTER TABLE tags_set_aside ADD COLUMN sha256 bytea;
ALTER TABLE tags_set_aside DROP CONSTRAINT tags_set_aside_bucket_key_taxonomy_label_key;
ALTER TABLE tags_set_aside ADD CONSTRAINT tags_set_aside_once
    UNIQUE NULLS NOT DISTINCT (bucket, key, sha256, taxonomy, label);
CREATE INDEX tags_set_aside_by_label ON tags_set_aside (taxonomy, label);
COMMENT ON TABLE tags_set_aside IS 'People''s tags of bytes that the catalog does not have now. They return with these bytes.';
COMMENT ON COLUMN tags_set_aside.sha256 IS 'Of the bytes that were tagged; null: not noted, returns with whatever comes.';
"""
# In `tags`, a person's tag is of the bytes that the image has. So no reader compares hashes, and no model's tag has a
# column more.
OVERWRITTEN = """
CREATE FUNCTION set_peoples_tags_aside() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    WITH moved AS (
        DELETE FROM tags WHERE image_id = NEW.id AND source = 'human'
        RETURNING taxonomy, taxonomy_version, label, decided_at
    )
    INSERT INTO tags_set_aside AS s (bucket, key, sha256, taxonomy, taxonomy_version, label, decided_at)
    SELECT OLD.bucket, OLD.key, OLD.sha256, taxonomy, taxonomy_version, label, decided_at FROM moved
    ON CONFLICT (bucket, key, sha256, taxonomy, label) DO UPDATE SET
        taxonomy_version = excluded.taxonomy_version, decided_at = excluded.decided_at;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION set_peoples_tags_aside IS 'Other bytes: what people decided about those before is not in force.';
CREATE TRIGGER other_bytes AFTER UPDATE OF sha256 ON images FOR EACH ROW WHEN (OLD.sha256 <> NEW.sha256)
    EXECUTE FUNCTION set_peoples_tags_aside();
"""
# A person's tag is of the bytes that their statement saw when it began, however long it takes: a stable function sees
# those, a volatile one what is committed when it asks. Triggers fire in the order of their names: `bytes_seen` first.
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
# The lock has them wait for a worker that writes other bytes just now, and the worker for them: each sees what the other
# did.
TAGGED = """
CREATE FUNCTION bind_to_bytes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    seen bytea := decode(current_setting('enrich.bytes_seen'), 'hex');
    image record;
BEGIN
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
COMMENT ON FUNCTION bind_to_bytes IS 'A person''s tag is of the bytes that the image has, until the transaction ends.';
CREATE TRIGGER of_these_bytes BEFORE INSERT ON tags FOR EACH ROW WHEN (NEW.source = 'human')
    EXECUTE FUNCTION bind_to_bytes();
"""
# As in 0015. They run with the owner's rights: who may insert a tag need not be allowed to change an image.
_FUNCTIONS = ("set_peoples_tags_aside", "note_bytes_seen", "bind_to_bytes")
SEARCH_PATH = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION {name} SET search_path = %s, pg_temp', current_setting('search_path'));
    REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
END $$;
"""


def upgrade() -> None:
    # In the order in which a worker's transaction comes to them; see 0017.
    op.execute("LOCK TABLE images IN SHARE ROW EXCLUSIVE MODE")
    op.execute("LOCK TABLE tags_set_aside IN ACCESS EXCLUSIVE MODE")
    op.execute("LOCK TABLE tags IN SHARE ROW EXCLUSIVE MODE")
    for part in (COLUMN, OVERWRITTEN, SEEN, TAGGED):
        op.execute(part)
    for name in _FUNCTIONS:
        op.execute(SEARCH_PATH.format(name=name))


def downgrade() -> None:
    op.execute("DROP TRIGGER bytes_seen ON tags")
    op.execute("DROP TRIGGER of_these_bytes ON tags")
    op.execute("DROP TRIGGER other_bytes ON images")
    op.execute("DROP FUNCTION bind_to_bytes, note_bytes_seen, set_peoples_tags_aside")
    # What is set aside would return with any bytes: of images that are there, it is of others; of the rest, the newest.
    op.execute("""
        DELETE FROM tags_set_aside s USING images i WHERE i.bucket = s.bucket AND i.key = s.key;
        DELETE FROM tags_set_aside s USING tags_set_aside o
        WHERE o.bucket = s.bucket AND o.key = s.key AND o.taxonomy = s.taxonomy AND o.label IS NOT DISTINCT FROM s.label
          AND (o.decided_at, o.ctid) > (s.decided_at, s.ctid)
    """)
    op.execute("""
        DROP INDEX tags_set_aside_by_label;
        ALTER TABLE tags_set_aside DROP COLUMN sha256,
            ADD CONSTRAINT tags_set_aside_bucket_key_taxonomy_label_key
            UNIQUE NULLS NOT DISTINCT (bucket, key, taxonomy, label)
    """)
