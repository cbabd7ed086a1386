"""What a role without the owner's rights needs of them, and nothing that it could turn against the owner."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# A worker makes the tables of the first space, and its indexes while they are empty. The caller names a space and
# nothing else: its row says the rest. Whoever may write into the parent may write into the partition.
#
# Made beside `embeddings` and then attached: unlike CREATE TABLE … PARTITION OF, which nobody may read beside, attaching
# lets all readers go on. For its foreign keys, writers of `images` are kept out for an instant, which is waited for
# briefly, but for longer than deadlock_timeout: autovacuum, which yields after that, never keeps us from it.
PARTITION = """
CREATE FUNCTION make_partition(space integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '3s' AS $$
DECLARE
    name text := format('embeddings_%s', space);
    made record;
    given record;
BEGIN
    SELECT s.dimension, s.state INTO STRICT made FROM spaces s WHERE s.id = space;
    EXECUTE format('CREATE TABLE %1$I (LIKE embeddings INCLUDING ALL, CONSTRAINT %2$I CHECK (space_id = %4$s), '
                   'CONSTRAINT %3$I CHECK (vector_dims(vector) = %5$s))',
                   name, name || '_space', name || '_dimension', space, made.dimension);
    EXECUTE format('ALTER TABLE embeddings ATTACH PARTITION %I FOR VALUES IN (%s)', name, space);
    FOR given IN SELECT DISTINCT a.grantee::regrole AS who, a.privilege_type FROM pg_class c, aclexplode(c.relacl) AS a
                 WHERE c.oid = 'embeddings'::regclass AND a.grantee <> c.relowner AND a.grantee <> 0 LOOP
        EXECUTE format('GRANT %s ON %I TO %s', given.privilege_type, name, given.who);
    END LOOP;
    IF made.state = 'active' THEN
        EXECUTE format('CREATE INDEX %I ON %I USING hnsw ((vector::halfvec(%s)) halfvec_ip_ops)',
                       name || '_hnsw', name, made.dimension);
    END IF;
END $$;
COMMENT ON FUNCTION make_partition IS 'The table of a space''s vectors; with its index where the space is active, for it is empty yet.';
"""
LABELS = """
CREATE FUNCTION make_label_index(space integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    EXECUTE (SELECT format('CREATE INDEX IF NOT EXISTS label_vectors_%1$s_hnsw ON label_vectors '
                           'USING hnsw ((vector::halfvec(%2$s)) halfvec_ip_ops) WHERE space_id = %1$s AND ranks',
                           s.id, s.dimension)
             FROM spaces s WHERE s.id = space);
END $$;
COMMENT ON FUNCTION make_label_index IS 'The index of the labels of a space.';
"""
# Tables are looked for among the caller's temporary ones first, unless these are named last: a view of the caller's
# there would be evaluated with the owner's rights.
SEARCH_PATHS = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION make_partition SET search_path = %s, pg_temp', current_setting('search_path'));
    EXECUTE format('ALTER FUNCTION make_label_index SET search_path = %s, pg_temp', current_setting('search_path'));
    EXECUTE format('ALTER FUNCTION search_images SET search_path = %s, pg_temp', current_setting('search_path'));
    ALTER FUNCTION feed_epoch SET search_path = pg_catalog, pg_temp;
    REVOKE ALL ON FUNCTION make_partition, make_label_index FROM PUBLIC;
END $$;
"""


def upgrade() -> None:
    for part in (PARTITION, LABELS, SEARCH_PATHS):
        op.execute(part)


def downgrade() -> None:
    op.execute("DROP FUNCTION make_partition, make_label_index")
