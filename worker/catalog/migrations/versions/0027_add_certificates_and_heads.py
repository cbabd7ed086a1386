"""Certificates: what reviews proved about labels' precision. Heads: what they taught. Suggestions: unproven labels."""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE heads (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id       integer NOT NULL REFERENCES spaces,
    taxonomy       text NOT NULL,
    scoring        text NOT NULL,
    digest         text NOT NULL,
    labels         text[] NOT NULL,
    lambda         real NOT NULL,
    decisions      integer NOT NULL,
    last_decision  bigint NOT NULL,
    judged         integer NOT NULL,
    won            integer NOT NULL,
    lost           integer NOT NULL,
    p              real NOT NULL,
    promoted_by    text CHECK (promoted_by IN ('test', 'person')),
    made_by        text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX heads_by_taxonomy ON heads (taxonomy, space_id, id);
COMMENT ON TABLE heads IS 'Every fit of a head: how it compared with zero-shot on the same images. Its rows are in the taxonomy version that has it.';
COMMENT ON COLUMN heads.scoring IS 'Hash of what probabilities depended on before it.';
COMMENT ON COLUMN heads.judged IS 'Images, chosen at random, on which it was compared with zero-shot, each by a fit without it.';
COMMENT ON COLUMN heads.p IS 'One-sided sign test of won against lost.';
COMMENT ON COLUMN heads.promoted_by IS 'The test, or a person in spite of it; null: it was not put into force.';

CREATE TABLE certificates (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id        integer NOT NULL REFERENCES spaces,
    taxonomy        text NOT NULL,
    label           text,
    scoring         text NOT NULL,
    head            bigint REFERENCES heads,
    target          real NOT NULL CHECK (target > 0 AND target < 1),
    delta           real NOT NULL CHECK (delta > 0 AND delta < 1),
    look            integer NOT NULL CHECK (look >= 0),
    spent           real NOT NULL,
    threshold       real,
    reviewed        integer NOT NULL,
    accepted        integer NOT NULL,
    errors          integer NOT NULL,
    lower_bound     real,
    coverage        real,
    plans           bigint[] NOT NULL,
    last_decision   bigint,
    made_by         text NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    expired_at      timestamptz,
    expired_because text,
    CHECK ((threshold IS NULL) = (lower_bound IS NULL)),
    CHECK ((expired_at IS NULL) = (expired_because IS NULL))
);
CREATE INDEX certificates_by_label ON certificates (taxonomy, space_id, label, id);
COMMENT ON TABLE certificates IS 'What reviews prove about the precision of a label, or why they prove nothing.';
COMMENT ON COLUMN certificates.label IS 'Null: all labels of the taxonomy together.';
COMMENT ON COLUMN certificates.scoring IS 'Hash of what probabilities depend on; the proof is about no other.';
COMMENT ON COLUMN certificates.look IS 'How many looks at results were planned before this one; each may spend half of what is left of delta.';
COMMENT ON COLUMN certificates.threshold IS 'From this probability on, precision is proven to reach the target; null: nothing is proven.';
COMMENT ON COLUMN certificates.reviewed IS 'Reviewed images that count: drawn at random, one per scene, with the label as best answer.';
COMMENT ON COLUMN certificates.accepted IS 'Of those, with at least the threshold; nothing proven: with any probability.';
COMMENT ON COLUMN certificates.errors IS 'Of the accepted ones, those to which the label was given wrongly.';
COMMENT ON COLUMN certificates.coverage IS 'accepted / reviewed.';

CREATE TABLE certified_labels (
    space_id    integer NOT NULL REFERENCES spaces,
    taxonomy    text NOT NULL,
    version     text NOT NULL,
    label       text NOT NULL,
    certificate bigint NOT NULL REFERENCES certificates,
    PRIMARY KEY (taxonomy, version, label, space_id)
);
COMMENT ON TABLE certified_labels IS 'Which certificate says that the tags of a taxonomy version are right often enough.';
"""

# A plan proves something about how images are scored, whatever the thresholds are.
PLANS = """
ALTER TABLE review_plans ADD COLUMN scoring text;
COMMENT ON COLUMN review_plans.scoring IS 'Hash of what probabilities depended on; null: made before this was noted.';
DROP INDEX review_plans_open;
CREATE UNIQUE INDEX review_plans_open ON review_plans (space_id, taxonomy, coalesce(scoring, taxonomy_version), label)
    NULLS NOT DISTINCT WHERE queue = 'random' AND closed_at IS NULL;
"""
NO_PLANS = """
DROP INDEX review_plans_open;
ALTER TABLE review_plans DROP COLUMN scoring;
UPDATE review_plans p SET closed_at = now(), closed_by = session_user, closed_because = 'downgraded'
WHERE p.queue = 'random' AND p.closed_at IS NULL AND EXISTS (
    SELECT FROM review_plans o WHERE o.queue = 'random' AND o.closed_at IS NULL AND o.id > p.id
    AND (o.space_id, o.taxonomy, o.taxonomy_version) = (p.space_id, p.taxonomy, p.taxonomy_version)
    AND o.label IS NOT DISTINCT FROM p.label);
CREATE UNIQUE INDEX review_plans_open ON review_plans (space_id, taxonomy, taxonomy_version, label)
    NULLS NOT DISTINCT WHERE queue = 'random' AND closed_at IS NULL;
"""
# A label whose precision is not proven is kept as a suggestion. Rows from before meet the wider check: nothing is read.
_PEOPLE = "'human', 'human-label', 'rejected'"
SOURCES = """
ALTER TABLE tags DROP CONSTRAINT tags_source_check;
ALTER TABLE tags ADD CONSTRAINT tags_source_check CHECK (source IN ({sources})) NOT VALID;
"""
# worker/catalog/in_force.py has the same rule, and worker/catalog/proofs.py what is proven; tests compare.
VIEW = """
CREATE OR REPLACE VIEW image_tags AS
SELECT i.bucket, i.key, t.taxonomy, t.label, t.probability, t.score,
       CASE WHEN t.space_id IS NULL THEN 'human' ELSE t.source END AS source,
       s.model, t.taxonomy_version, t.decided_at, t.image_id{proven}
FROM tags t
JOIN images i ON i.id = t.image_id
LEFT JOIN spaces s ON s.id = t.space_id
WHERE t.label IS NOT NULL{applied} AND (t.source IN ('human', 'human-label') OR (s.state = 'active'
    AND NOT (EXISTS (
            SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.space_id IS NULL)
        AND EXISTS (
            SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.space_id IS NULL
                                 AND (h.source = 'human' OR h.label = t.label)))));
COMMENT ON VIEW image_tags IS
    'For other services: the tags in force, one row each. What people accepted or rejected takes the place of the model''s.';
"""
# Subqueries, because those whose column is not read cost nothing.
_PROVEN = """,
       (SELECT c.{column} FROM certified_labels l JOIN certificates c ON c.id = l.certificate
        WHERE l.taxonomy = t.taxonomy AND l.version = t.taxonomy_version AND l.label = t.label
          AND l.space_id = t.space_id AND c.expired_at IS NULL) AS {name}"""
PROVEN = "".join(
    _PROVEN.format(column=column, name=name)
    for column, name in (("target", "proven_precision"), ("accepted", "proven_n"), ("at", "proven_at"))
)
COLUMNS = """
COMMENT ON COLUMN image_tags.proven_precision IS 'Precision of the label that reviews prove; null: none, or no longer.';
COMMENT ON COLUMN image_tags.proven_n IS 'Reviewed images with the label that prove it.';
COMMENT ON COLUMN image_tags.proven_at IS 'When it was proven.';
"""
# A view loses columns only by being made again, with what reads it, and would lose with them who may read it.
_WITHOUT = """
DO $do$ DECLARE
    definition text := pg_get_viewdef('enriched_images'::regclass);
    said text := obj_description('enriched_images'::regclass, 'pg_class');
    rights text[] := array(
        SELECT format('GRANT %s ON %s TO %s', r.privilege_type, c.oid::regclass,
                      CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END)
        FROM pg_class c, aclexplode(c.relacl) r
        WHERE c.oid IN ('enriched_images'::regclass, 'image_tags'::regclass) AND r.grantee <> r.grantor);
    each text;
BEGIN
    DROP VIEW enriched_images, image_tags;
    EXECUTE $view${view}$view$;
    EXECUTE 'CREATE VIEW enriched_images AS ' || definition;
    EXECUTE format('COMMENT ON VIEW enriched_images IS %L', said);
    FOREACH each IN ARRAY rights LOOP
        EXECUTE each;
    END LOOP;
END $do$;
"""
# Made behind the migrations, in place of the older one: see worker/catalog/indexes.py.
_INDEXES = """
DROP INDEX IF EXISTS tags_applied, tags_suggested;
CREATE INDEX IF NOT EXISTS tags_by_label ON tags (taxonomy, label, image_id) WHERE label IS NOT NULL;
"""
# Older releases would take suggestions for tags.
_NO_SUGGESTIONS = "DELETE FROM tags WHERE source = 'suggestion'"


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(PLANS)
    op.execute(SOURCES.format(sources=f"'zero-shot', 'few-shot', 'text-fusion', 'suggestion', {_PEOPLE}"))
    op.execute(VIEW.format(proven=PROVEN, applied=" AND t.source <> 'suggestion'"))
    op.execute(COLUMNS)


def downgrade() -> None:
    op.execute(_NO_SUGGESTIONS)
    op.execute(_WITHOUT.format(view=VIEW.format(proven="", applied="")))
    op.execute(_INDEXES)
    op.execute(SOURCES.format(sources=f"'zero-shot', 'few-shot', 'text-fusion', {_PEOPLE}"))
    op.execute(NO_PLANS)
    op.execute("DROP TABLE certified_labels; DROP TABLE certificates; DROP TABLE heads")
