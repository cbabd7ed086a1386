"""A view of the vectors of labels in use, for services that read the catalog in SQL."""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# One row per label and vector by which it is found. Sets that are being filled are not searched yet either; of two
# that are ready, the newer one is in use. `worker/pipeline/reading/label_search.py` has the same rule.
VIEW = """
CREATE VIEW label_vectors_in_use AS
SELECT l.taxonomy, v.label, v.text, v.vector, l.version AS taxonomy_version, s.model, s.revision, s.dimension
FROM (SELECT DISTINCT ON (taxonomy) id, taxonomy, version, space_id FROM label_sets
      WHERE ready_at IS NOT NULL AND space_id = (SELECT id FROM spaces WHERE state = 'active')
      ORDER BY taxonomy, id DESC) AS l
JOIN spaces s ON s.id = l.space_id
JOIN label_vectors v ON v.set_id = l.id AND v.ranks;
COMMENT ON VIEW label_vectors_in_use IS
    'For other services: unit vectors of labels in the active embedding space, to compare with image_vectors.';
COMMENT ON COLUMN label_vectors_in_use.text IS
    'With `aggregate: max`, which of the label''s texts this is the vector of; null: the mean of all of them.';
"""


def upgrade() -> None:
    op.execute(VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW label_vectors_in_use")
