"""Which taxonomies are in force, how far stored tags follow them, and the vectors of their prompts."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE taxonomy_revisions (
    id       integer PRIMARY KEY CHECK (id > 0),
    versions jsonb NOT NULL,
    action   text NOT NULL CHECK (action IN ('begin', 'apply', 'rollback')),
    back_to  integer REFERENCES taxonomy_revisions,
    made_by  text NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE taxonomy_revisions IS 'The taxonomies in force: the row with the highest id says which versions. What each version is, is in taxonomies.';
COMMENT ON COLUMN taxonomy_revisions.versions IS 'Name of each taxonomy → its version.';
COMMENT ON COLUMN taxonomy_revisions.action IS 'begin: by the first worker; apply and rollback: by the command of that name.';

CREATE TABLE retaggings (
    space_id    integer NOT NULL REFERENCES spaces,
    revision    integer NOT NULL REFERENCES taxonomy_revisions,
    after       bigint NOT NULL DEFAULT 0,
    images      bigint NOT NULL DEFAULT 0,
    changed     bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (space_id, revision)
);
COMMENT ON TABLE retaggings IS 'How far the tags that a space had when a revision came into force are brought up to date.';
COMMENT ON COLUMN retaggings.after IS 'Images up to this id have the tags of the revision; newer ones were written with them.';
COMMENT ON COLUMN retaggings.changed IS 'Images of which a label came or went.';

CREATE TABLE text_vectors (
    space_id integer NOT NULL REFERENCES spaces,
    digest   bytea NOT NULL,
    vector   bytea NOT NULL,
    PRIMARY KEY (space_id, digest)
);
COMMENT ON TABLE text_vectors IS 'What a space''s model makes of prompts, so that every process scores with the same numbers: float32, little-endian.';
COMMENT ON COLUMN text_vectors.digest IS 'SHA-256 of the text in UTF-8.';
"""


def upgrade() -> None:
    op.execute(TABLES)
    # Columns without a default and storage parameters change the catalog of tables only: no row is rewritten.
    op.execute("ALTER TABLE spaces ADD COLUMN logit_scale double precision")
    op.execute("COMMENT ON COLUMN spaces.logit_scale IS 'What the model multiplies cosines by; known once it was loaded.'")
    # Room for a tag's next version beside it: then no index has to be touched.
    op.execute("ALTER TABLE tags SET (fillfactor = 85)")


def downgrade() -> None:
    op.execute("ALTER TABLE tags RESET (fillfactor)")
    op.execute("ALTER TABLE spaces DROP COLUMN logit_scale")
    op.execute("DROP TABLE text_vectors, retaggings, taxonomy_revisions")
