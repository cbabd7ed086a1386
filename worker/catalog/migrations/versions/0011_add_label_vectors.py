"""Vectors of labels, to be searched like those of images."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE label_sets (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id integer NOT NULL REFERENCES spaces ON DELETE CASCADE,
    taxonomy text NOT NULL,
    version  text NOT NULL,
    labels   integer NOT NULL DEFAULT 0,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ready_at timestamptz,
    UNIQUE (space_id, taxonomy, version),
    FOREIGN KEY (taxonomy, version) REFERENCES taxonomies (name, version) ON DELETE CASCADE
);
COMMENT ON TABLE label_sets IS 'Taxonomy versions whose labels can be searched in a space, or will be: those without ready_at are being filled.';
COMMENT ON COLUMN label_sets.labels IS 'How many have their vectors.';

CREATE TABLE label_vectors (
    set_id   integer NOT NULL REFERENCES label_sets ON DELETE CASCADE,
    space_id integer NOT NULL,
    label    text NOT NULL,
    text     text,
    ranks    boolean NOT NULL,
    vector   halfvec NOT NULL,
    UNIQUE NULLS NOT DISTINCT (set_id, label, text)
);
COMMENT ON TABLE label_vectors IS 'Unit vectors of labels and of their texts. Each space has a partial index of its own, label_vectors_N_hnsw.';
COMMENT ON COLUMN label_vectors.text IS 'The prompt in its template that this is the vector of; null: the mean of all of the label''s.';
COMMENT ON COLUMN label_vectors.ranks IS 'Whether labels are found by it: the mean, or each text where the nearest decides.';
"""

# A dropped space keeps its row, so that its number is never used again; its labels go with the rest.
TRIGGER = """
CREATE FUNCTION forget_labels_of_dropped_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM label_sets WHERE space_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_labels AFTER UPDATE OF state ON spaces
    FOR EACH ROW WHEN (NEW.state = 'dropped') EXECUTE FUNCTION forget_labels_of_dropped_space();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER forget_labels ON spaces")
    op.execute("DROP FUNCTION forget_labels_of_dropped_space")
    op.execute("DROP TABLE label_vectors, label_sets")
