"""Spaces that are filled beside another one: what is owed to them, their golden vectors, and a search by vector."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SPACES = """
ALTER TABLE spaces ADD COLUMN source text, ADD COLUMN made_with jsonb;
ALTER TABLE spaces DROP CONSTRAINT spaces_state_check,
    ADD CONSTRAINT spaces_state_check CHECK (state IN ('filling', 'active', 'retired', 'dropped'));
COMMENT ON COLUMN spaces.source IS 'What ENRICH_MODEL named when the space was made: where its model is loaded from.';
COMMENT ON COLUMN spaces.made_with IS 'Device, format and library versions that its golden vectors were made with.';
COMMENT ON COLUMN spaces.state IS 'dropped: vectors and tags are gone; the row stays, so that its number is never used again.';

CREATE TABLE golden_vectors (
    space_id integer NOT NULL REFERENCES spaces,
    name     text NOT NULL,
    vector   real[] NOT NULL,
    pixels   bytea,
    PRIMARY KEY (space_id, name)
);
COMMENT ON TABLE golden_vectors IS 'What a space''s model made of pictures and texts that never change: a worker that makes something else does not write.';
COMMENT ON COLUMN golden_vectors.pixels IS 'The prepared picture: an array in numpy''s format, deflated. Null for texts.';

CREATE SEQUENCE owed_vectors_token_seq;
-- No reference to images: queueing must not lock them. Rows of images that are gone are dropped when they are claimed.
CREATE TABLE owed_vectors (
    space_id   integer NOT NULL REFERENCES spaces,
    image_id   bigint NOT NULL,
    owed_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    visible_at timestamptz NOT NULL DEFAULT now(),
    attempts   integer NOT NULL DEFAULT 0,
    token      bigint,
    error      text,
    PRIMARY KEY (space_id, image_id)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX owed_vectors_visible ON owed_vectors (space_id, visible_at);
ALTER TABLE processes ADD COLUMN refused text;
COMMENT ON COLUMN processes.refused IS 'Why it did not start to work, in a sentence: its model makes other vectors than its space was filled with.';
COMMENT ON TABLE owed_vectors IS 'Images that a space has no vector of yet, as far as they were found: a queue beside the ledger, one for each space.';
COMMENT ON COLUMN owed_vectors.visible_at IS 'When the row may be claimed: the retry time, or the end of the lease; infinity: given up, error says why.';
COMMENT ON COLUMN owed_vectors.token IS 'Fencing token of the claim in flight; whoever has another one changes nothing.';
"""

# The partition's name and its dimension are spelled out in the query that runs, so that its index is used; no view can.
# SECURITY DEFINER: callers need no rights on the tables, as with the views.
SEARCH = """
CREATE FUNCTION search_images(query halfvec, k integer DEFAULT 10)
RETURNS TABLE (bucket text, key text, similarity double precision, tags jsonb, image_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    active record;
    effort text := current_setting('hnsw.ef_search', true);
    iterate text := current_setting('hnsw.iterative_scan', true);
BEGIN
    IF k IS NULL OR k NOT BETWEEN 1 AND 10000 THEN
        RAISE 'k must be from 1 to 10000, not %', k USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT s.id, s.dimension, s.model INTO active FROM spaces s WHERE s.state = 'active';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF vector_dims(query) <> active.dimension THEN
        RAISE 'the vector has % dimensions; those of the active model, %, have %', vector_dims(query), active.model,
            active.dimension USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('hnsw.ef_search', least(greatest(k, 40), 1000)::text, true),
            set_config('hnsw.iterative_scan', 'strict_order', true);
    RETURN QUERY EXECUTE format($query$
        SELECT i.bucket, i.key, n.similarity, i.tags, i.image_id
        FROM (SELECT e.image_id, -(e.vector::halfvec(%2$s) <#> $1) AS similarity FROM embeddings_%1$s e
              ORDER BY e.vector::halfvec(%2$s) <#> $1 LIMIT $2) AS n
        JOIN enriched_images i ON i.image_id = n.image_id
        ORDER BY n.similarity DESC, i.image_id
    $query$, active.id, active.dimension) USING query, k;
    PERFORM set_config('hnsw.ef_search', coalesce(effort, '40'), true),
            set_config('hnsw.iterative_scan', coalesce(iterate, 'off'), true);
END $$;
REVOKE ALL ON FUNCTION search_images FROM PUBLIC;
COMMENT ON FUNCTION search_images IS 'For other services: the k images nearest to a unit vector of the active space, by its index, best first.';
"""


def upgrade() -> None:
    op.execute(SPACES)
    op.execute(SEARCH)


def downgrade() -> None:
    op.execute("DROP FUNCTION search_images")
    op.execute("DROP TABLE owed_vectors, golden_vectors")
    op.execute("ALTER TABLE processes DROP COLUMN refused")
    op.execute("DROP SEQUENCE owed_vectors_token_seq")
    op.execute("DELETE FROM spaces WHERE state = 'dropped'")
    op.execute("ALTER TABLE spaces DROP COLUMN source, DROP COLUMN made_with, DROP CONSTRAINT spaces_state_check, "
               "ADD CONSTRAINT spaces_state_check CHECK (state IN ('filling', 'active', 'retired'))")
