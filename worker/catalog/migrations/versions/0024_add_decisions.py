"""People's decisions: an append-only table. A person's rows in ``tags`` are what is in force of it."""

from __future__ import annotations

import runpy
from pathlib import Path

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE decisions (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch                 uuid NOT NULL DEFAULT gen_random_uuid(),
    bucket                text COLLATE "C" NOT NULL,
    key                   text COLLATE "C" NOT NULL,
    sha256                bytea,
    taxonomy              text NOT NULL,
    taxonomy_version      text NOT NULL DEFAULT 'by hand',
    verdict               text NOT NULL
        CHECK (verdict IN ('accept', 'reject', 'replace', 'none', 'unsure', 'withdraw', 'undo')),
    label                 text,
    adds                  text[] NOT NULL,
    removes               text[] NOT NULL,
    answers               boolean NOT NULL,
    shown_label           text,
    shown_version         text,
    shown_space           integer,
    reviewer              text NOT NULL DEFAULT session_user,
    reason                text,
    chosen                text NOT NULL DEFAULT 'direct',
    inclusion_probability real CHECK (inclusion_probability > 0 AND inclusion_probability <= 1),
    plan                  bigint,
    undoes                bigint REFERENCES decisions,
    at                    timestamptz NOT NULL DEFAULT now(),
    CHECK (CASE WHEN verdict IN ('accept', 'reject', 'replace') THEN label IS NOT NULL
                WHEN verdict = 'none' THEN label IS NULL ELSE true END),
    CHECK ((verdict = 'undo') = (undoes IS NOT NULL))
);
CREATE INDEX decisions_by_image ON decisions (bucket, key, sha256);
CREATE INDEX decisions_by_label ON decisions (taxonomy, label);
CREATE INDEX decisions_by_batch ON decisions (batch);
CREATE UNIQUE INDEX decisions_undone ON decisions (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX decisions_of_unknown_bytes ON decisions (bucket, key) WHERE sha256 IS NULL;
COMMENT ON TABLE decisions IS 'What people decided, when and why. Rows are only ever added; an undo is a row, too.';
COMMENT ON COLUMN decisions.sha256 IS 'Of the bytes that were seen; null: recorded by a release that did not note it.';
COMMENT ON COLUMN decisions.adds IS 'Labels that hold by this decision: the accepted one, and those above it.';
COMMENT ON COLUMN decisions.removes IS 'Labels that do not hold: the rejected one, and those below it.';
COMMENT ON COLUMN decisions.answers IS 'Whether it answers the whole taxonomy, instead of one label of several.';
COMMENT ON COLUMN decisions.chosen IS 'How the image was chosen for review: direct, random, uncertain, search, import …';
COMMENT ON COLUMN decisions.inclusion_probability IS 'With what probability it was drawn, if it was drawn.';
"""
# The rules: the last decision about a label counts; an answer to the whole taxonomy replaces the labels that held
# before; "unsure" and "withdraw" about the whole taxonomy forget all that was decided before them.
FOLD = """
CREATE FUNCTION decided_tags(buckets text[], keys text[])
RETURNS TABLE (bucket text, key text, sha256 bytea, taxonomy text, label text, source text, version text,
               decided_at timestamptz, decision bigint, reviewer text)
LANGUAGE sql STABLE AS $$
    WITH made AS (
        SELECT d.*, max(d.id) FILTER (WHERE d.answers AND d.verdict IN ('unsure', 'withdraw'))
                        OVER (PARTITION BY d.bucket, d.key, d.sha256, d.taxonomy) AS forgets
        FROM unnest(buckets, keys) AS k (bucket, key)
        JOIN decisions d ON d.bucket = k.bucket COLLATE "C" AND d.key = k.key COLLATE "C"
        WHERE d.verdict <> 'undo' AND NOT EXISTS (SELECT FROM decisions u WHERE u.undoes = d.id)
    ), standing AS MATERIALIZED (
        SELECT * FROM made WHERE forgets IS NULL OR id >= forgets
    ), answer AS (
        SELECT DISTINCT ON (s.bucket, s.key, s.sha256, s.taxonomy) s.* FROM standing s
        WHERE s.answers ORDER BY s.bucket, s.key, s.sha256, s.taxonomy, s.id DESC
    ), about AS (
        SELECT DISTINCT ON (s.bucket, s.key, s.sha256, s.taxonomy, e.about) s.*, e.about, e.holds
        FROM standing s CROSS JOIN LATERAL (
            SELECT unnest(s.adds) AS about, true AS holds
            UNION ALL SELECT unnest(s.removes), false
            UNION ALL SELECT s.label, NULL WHERE s.verdict IN ('unsure', 'withdraw') AND s.label IS NOT NULL
        ) AS e ORDER BY s.bucket, s.key, s.sha256, s.taxonomy, e.about, s.id DESC, e.holds DESC NULLS LAST
    ), held AS (
        SELECT b.*, coalesce(a.verdict IN ('accept', 'replace', 'none'), false) AS whole
        FROM about b LEFT JOIN answer a ON (a.bucket, a.key, a.taxonomy) = (b.bucket, b.key, b.taxonomy)
                                        AND a.sha256 IS NOT DISTINCT FROM b.sha256
        WHERE a.id IS NULL OR b.id >= a.id OR NOT b.holds
    )
    SELECT h.bucket, h.key, h.sha256, h.taxonomy, h.about,
           CASE WHEN NOT h.holds THEN 'rejected' WHEN h.whole THEN 'human' ELSE 'human-label' END,
           h.taxonomy_version, h.at, h.id, h.reviewer
    FROM held h WHERE h.holds IS NOT NULL
    UNION ALL
    SELECT a.bucket, a.key, a.sha256, a.taxonomy, NULL, 'human', a.taxonomy_version, a.at, a.id, a.reviewer
    FROM answer a
    WHERE a.verdict = 'none' AND NOT EXISTS (
        SELECT FROM held h WHERE h.holds AND (h.bucket, h.key, h.taxonomy) = (a.bucket, a.key, a.taxonomy)
                             AND h.sha256 IS NOT DISTINCT FROM a.sha256)
$$;
COMMENT ON FUNCTION decided_tags IS
    'What is in force of people''s decisions about each version of these objects'' bytes. human: the answer to a whole '
    'taxonomy; human-label: a label beside the model''s; rejected: a label that must not be shown.';
"""
# The lock on the image lets decisions about it come one after another, and after or before a worker that writes other
# bytes; each then sees what the other did.
PROJECT = """
CREATE FUNCTION project_decisions(image_ids bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM FROM images WHERE id = ANY(image_ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE decisions d SET sha256 = i.sha256 FROM images i
    WHERE i.id = ANY(image_ids) AND d.bucket = i.bucket AND d.key = i.key AND d.sha256 IS NULL;
    PERFORM set_config('enrich.deciding', 'projected', true);
    RETURN QUERY
        WITH image AS (SELECT i.id, i.bucket, i.key, i.sha256 FROM images i WHERE i.id = ANY(image_ids)), target AS (
            SELECT i.id AS image_id, d.taxonomy, d.label, d.source, d.version, d.decided_at
            FROM decided_tags(array(SELECT bucket FROM image ORDER BY id), array(SELECT key FROM image ORDER BY id)) d
            JOIN image i ON i.bucket = d.bucket AND i.key = d.key AND i.sha256 = d.sha256
        ), gone AS (
            DELETE FROM tags t WHERE t.image_id = ANY(image_ids) AND t.space_id IS NULL AND NOT EXISTS (
                SELECT FROM target x WHERE x.image_id = t.image_id AND x.taxonomy = t.taxonomy
                                       AND x.label IS NOT DISTINCT FROM t.label)
            RETURNING t.image_id
        ), come AS (
            INSERT INTO tags AS t (image_id, taxonomy, taxonomy_version, label, source, decided_at)
            SELECT x.image_id, x.taxonomy, x.version, x.label, x.source, x.decided_at FROM target x
            ON CONFLICT (image_id, space_id, taxonomy, label) DO UPDATE SET
                taxonomy_version = excluded.taxonomy_version, source = excluded.source, decided_at = excluded.decided_at
            WHERE (t.taxonomy_version, t.source, t.decided_at)
                  IS DISTINCT FROM (excluded.taxonomy_version, excluded.source, excluded.decided_at)
            RETURNING t.image_id
        )
        SELECT g.image_id FROM gone g UNION SELECT c.image_id FROM come c;
    PERFORM set_config('enrich.deciding', '', true);
END $$;
COMMENT ON FUNCTION project_decisions IS
    'Make people''s rows in tags what is in force of their decisions about the bytes that these images have now.';
"""
# Workers project new images as well; see worker/catalog/write.py.
OVERWRITTEN = """
CREATE FUNCTION project_other_bytes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM project_decisions(ARRAY[NEW.id]);
    RETURN NULL;
END $$;
CREATE TRIGGER other_bytes AFTER UPDATE OF sha256 ON images FOR EACH ROW WHEN (OLD.sha256 <> NEW.sha256)
    EXECUTE FUNCTION project_other_bytes();
"""
# Readers of the feed wait only for sessions that are named so (0016). A person's session is named before its transaction
# has an xid, and stays named: readers that see the xid see the name.
NAMED = """
CREATE FUNCTION name_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('application_name', 'enrich sql', false);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER name_session BEFORE INSERT ON decisions FOR EACH STATEMENT
    WHEN (NOT starts_with(current_setting('application_name'), 'enrich ')) EXECUTE FUNCTION name_session();
CREATE TRIGGER name_session BEFORE INSERT OR DELETE ON tags FOR EACH STATEMENT
    WHEN (NOT starts_with(current_setting('application_name'), 'enrich ')) EXECUTE FUNCTION name_session();
"""
DECIDED = """
CREATE FUNCTION complete_decision() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NEW.undoes IS NOT NULL THEN  -- about the same image, so that this is the one that is projected
        SELECT d.bucket, d.key, d.sha256, d.taxonomy, d.label
        INTO NEW.bucket, NEW.key, NEW.sha256, NEW.taxonomy, NEW.label
        FROM decisions d WHERE d.id = NEW.undoes AND d.verdict <> 'undo';
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no decision %, or it is itself an undo', NEW.undoes
                USING HINT = 'Look up the number in decisions; instead of undoing an undo, insert the decision again.';
        END IF;
    END IF;
    NEW.sha256 := coalesce(NEW.sha256, (SELECT i.sha256 FROM images i WHERE i.bucket = NEW.bucket AND i.key = NEW.key));
    IF NEW.sha256 IS NULL AND NEW.undoes IS NULL THEN
        RAISE EXCEPTION 'a decision about %/%, which is not in the catalog', NEW.bucket, NEW.key
            USING HINT = 'Give the sha256 of the bytes that were seen, or wait until the object is enriched.';
    END IF;
    NEW.adds := coalesce(NEW.adds, CASE WHEN NEW.verdict IN ('accept', 'replace') THEN ARRAY[NEW.label] ELSE '{}' END);
    NEW.removes := coalesce(NEW.removes, CASE NEW.verdict WHEN 'reject' THEN ARRAY[NEW.label] ELSE '{}' END);
    NEW.answers := coalesce(NEW.answers, NEW.verdict IN ('accept', 'replace', 'none', 'unsure', 'withdraw'));
    RETURN NEW;
END $$;
CREATE TRIGGER complete BEFORE INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION complete_decision();

CREATE FUNCTION apply_decisions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    decided bigint[] := array(SELECT DISTINCT i.id FROM new_decisions d
                              JOIN images i ON i.bucket = d.bucket AND i.key = d.key ORDER BY i.id);
BEGIN
    IF current_setting('enrich.deciding', true) IS DISTINCT FROM 'by row' THEN
        PERFORM project_decisions(decided);
    END IF;
    IF NOT starts_with(current_setting('application_name'), 'enrich ') THEN
        RAISE EXCEPTION 'this transaction wrote something before the decision, in a session named "%": readers of the '
                        'change feed could miss the decision', current_setting('application_name')
            USING HINT = 'Roll back, run SET application_name = ''enrich sql'', and begin again.';
    END IF;
    INSERT INTO changes (kind, bucket, key, etag, epoch)
    SELECT 'enriched', i.bucket, i.key, i.etag, (SELECT feed_epoch()) FROM images i
    WHERE i.id = ANY(decided) AND EXISTS (SELECT FROM new_decisions d
        WHERE d.bucket = i.bucket AND d.key = i.key AND d.sha256 = i.sha256) ORDER BY i.id;
    RETURN NULL;
END $$;
CREATE TRIGGER apply AFTER INSERT ON decisions REFERENCING NEW TABLE AS new_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION apply_decisions();

CREATE FUNCTION keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'decisions are never changed' USING HINT = 'Insert a row with the verdict undo.';
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON decisions FOR EACH ROW WHEN (OLD.sha256 IS NOT NULL)
    EXECUTE FUNCTION keep_decision();
"""
# Rows of people that are written into `tags` by hand become decisions, and are then made what is in force of these.
# Triggers fire in the order of their names: `bytes_seen` first.
BY_HAND = """
CREATE FUNCTION decide_by_hand() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    seen bytea := decode(current_setting('enrich.bytes_seen'), 'hex');
    image record;
    more boolean := EXISTS (SELECT FROM tags t WHERE t.image_id = NEW.image_id AND t.taxonomy = NEW.taxonomy
                            AND t.space_id IS NULL AND t.source <> 'rejected' AND t.label IS NOT NULL);
BEGIN
    SELECT i.bucket, i.key, i.sha256 INTO image FROM images i WHERE i.id = NEW.image_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF seen = '' THEN
        seen := image.sha256;
    END IF;
    PERFORM set_config('enrich.deciding', 'by row', true);
    INSERT INTO decisions (bucket, key, sha256, taxonomy, taxonomy_version, verdict, label, answers, reviewer, chosen, at)
    VALUES (image.bucket, image.key, seen, NEW.taxonomy, NEW.taxonomy_version,
            CASE WHEN NEW.source = 'rejected' THEN 'reject' WHEN NEW.label IS NULL THEN 'none' ELSE 'accept' END,
            NEW.label, NEW.source = 'human' AND (NEW.label IS NULL OR NOT more), session_user, 'sql', NEW.decided_at);
    DELETE FROM tags t WHERE t.image_id = NEW.image_id AND t.taxonomy = NEW.taxonomy AND t.label = NEW.label
                         AND t.space_id IS NULL AND t.source = 'rejected' AND NEW.source <> 'rejected';
    PERFORM set_config('enrich.deciding', '', true);
    IF image.sha256 <> seen THEN
        RAISE WARNING '%/% was overwritten while it was tagged: the tag is kept for the bytes before; look at it again',
            image.bucket, image.key;
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decide BEFORE INSERT ON tags FOR EACH ROW
    WHEN (NEW.space_id IS NULL AND coalesce(current_setting('enrich.deciding', true), '') = '')
    EXECUTE FUNCTION decide_by_hand();
CREATE TRIGGER bytes_seen BEFORE INSERT ON tags FOR EACH ROW
    WHEN (NEW.space_id IS NULL AND coalesce(current_setting('enrich.deciding', true), '') = '')
    EXECUTE FUNCTION note_bytes_seen();

CREATE FUNCTION withdraw_by_hand() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    image record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a person''s tag is not changed' USING HINT = 'Insert a row into decisions.';
    END IF;
    SELECT i.bucket, i.key, i.sha256 INTO image FROM images i WHERE i.id = OLD.image_id FOR NO KEY UPDATE;
    IF FOUND THEN  -- not, where the image itself is deleted
        PERFORM set_config('enrich.deciding', 'by row', true);
        INSERT INTO decisions (bucket, key, sha256, taxonomy, verdict, label, answers, reviewer, chosen)
        VALUES (image.bucket, image.key, image.sha256, OLD.taxonomy, 'withdraw', OLD.label,
                NOT EXISTS (SELECT FROM tags t WHERE t.image_id = OLD.image_id AND t.taxonomy = OLD.taxonomy
                            AND t.space_id IS NULL AND t.id <> OLD.id), session_user, 'sql');
        PERFORM set_config('enrich.deciding', '', true);
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER withdraw BEFORE DELETE OR UPDATE ON tags FOR EACH ROW
    WHEN (OLD.space_id IS NULL AND coalesce(current_setting('enrich.deciding', true), '') = '')
    EXECUTE FUNCTION withdraw_by_hand();

CREATE FUNCTION project_by_hand() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    PERFORM project_decisions(ARRAY[(coalesce(NEW, OLD)).image_id]);
    RETURN NULL;
END $$;
CREATE TRIGGER decided AFTER INSERT ON tags FOR EACH ROW
    WHEN (NEW.space_id IS NULL AND coalesce(current_setting('enrich.deciding', true), '') = '')
    EXECUTE FUNCTION project_by_hand();
CREATE TRIGGER withdrawn AFTER DELETE ON tags FOR EACH ROW
    WHEN (OLD.space_id IS NULL AND coalesce(current_setting('enrich.deciding', true), '') = '')
    EXECUTE FUNCTION project_by_hand();
"""
# Of several labels of one taxonomy, which one person gave one by one, one decision is made.
MOVE = """
INSERT INTO decisions (bucket, key, sha256, taxonomy, taxonomy_version, verdict, label, adds, removes, answers, reviewer,
                       chosen, at)
SELECT bucket, key, sha256, taxonomy, max(taxonomy_version), CASE WHEN count(label) > 0 THEN 'accept' ELSE 'none' END,
       min(label), coalesce(array_agg(label) FILTER (WHERE label IS NOT NULL), '{}'), '{}', true, 'unknown',
       'sql', max(decided_at)
FROM (
    SELECT i.bucket, i.key, i.sha256, t.taxonomy, t.taxonomy_version, t.label, t.decided_at
    FROM tags t JOIN images i ON i.id = t.image_id WHERE t.source = 'human'
    UNION ALL
    SELECT bucket, key, sha256, taxonomy, taxonomy_version, label, decided_at FROM tags_set_aside
) AS old GROUP BY bucket, key, sha256, taxonomy ORDER BY max(decided_at);
DROP TABLE tags_set_aside;
DROP TRIGGER bytes_seen ON tags;
DROP TRIGGER of_these_bytes ON tags;
DROP TRIGGER other_bytes ON images;
DROP FUNCTION bind_to_bytes, set_peoples_tags_aside;
"""
# Rows from before meet the wider check as they met the narrower one: nothing is read.
SOURCES = """
ALTER TABLE tags DROP CONSTRAINT tags_source_check, DROP CONSTRAINT tags_check;
ALTER TABLE tags
    ADD CONSTRAINT tags_source_check CHECK (source IN ({sources})) NOT VALID,
    ADD CONSTRAINT tags_check CHECK ((source IN ({people})) = (space_id IS NULL)) NOT VALID;
"""
_PEOPLE = "'human', 'human-label', 'rejected'"
# worker/catalog/in_force.py has the same rule; a test compares the two.
VIEW = """
CREATE OR REPLACE VIEW image_tags AS
SELECT i.bucket, i.key, t.taxonomy, t.label, t.probability, t.score,
       CASE WHEN t.space_id IS NULL THEN 'human' ELSE t.source END AS source,
       s.model, t.taxonomy_version, t.decided_at, t.image_id
FROM tags t
JOIN images i ON i.id = t.image_id
LEFT JOIN spaces s ON s.id = t.space_id
WHERE t.label IS NOT NULL AND (t.source IN ('human', 'human-label') OR (s.state = 'active'
    AND NOT (EXISTS (
            SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.space_id IS NULL)
        AND EXISTS (
            SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.space_id IS NULL
                                 AND (h.source = 'human' OR h.label = t.label)))));
COMMENT ON VIEW image_tags IS
    'For other services: the tags in force, one row each. What people accepted or rejected takes the place of the model''s.';
"""
_FUNCTIONS = (
    "decided_tags", "project_decisions", "complete_decision", "apply_decisions", "keep_decision", "decide_by_hand",
    "withdraw_by_hand", "project_other_bytes", "name_session", "project_by_hand",
)  # fmt: skip
SEARCH_PATH = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION {name} SET search_path = %s, pg_temp', current_setting('search_path'));
    REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
END $$;
"""

_BEFORE = runpy.run_path(str(Path(__file__).with_name("0021_bind_peoples_tags_to_bytes.py")))
_VIEW_BEFORE = """
CREATE OR REPLACE VIEW image_tags AS
SELECT i.bucket, i.key, t.taxonomy, t.label, t.probability, t.score, t.source, s.model, t.taxonomy_version, t.decided_at, t.image_id
FROM tags t
JOIN images i ON i.id = t.image_id
LEFT JOIN spaces s ON s.id = t.space_id
WHERE t.label IS NOT NULL AND (t.source = 'human' OR (s.state = 'active' AND NOT EXISTS (
    SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.source = 'human')));
COMMENT ON VIEW image_tags IS 'For other services: the tags that hold now, one row each. A human decision replaces the model''s.';
"""
_TABLE_BEFORE = """
CREATE TABLE tags_set_aside (
    bucket text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, taxonomy text NOT NULL,
    taxonomy_version text NOT NULL, label text, decided_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (bucket, key, taxonomy, label)
)
"""
# Labels beside the model's, and rejections, are lost: the older schema has no place for them.
_BACK = """
INSERT INTO tags_set_aside (bucket, key, sha256, taxonomy, taxonomy_version, label, decided_at)
SELECT d.bucket, d.key, d.sha256, d.taxonomy, d.version, d.label, d.decided_at
FROM (SELECT DISTINCT bucket, key FROM decisions) AS k, decided_tags(ARRAY[k.bucket], ARRAY[k.key]) AS d
WHERE d.source = 'human' AND NOT EXISTS (
    SELECT FROM images i WHERE i.bucket = d.bucket AND i.key = d.key AND i.sha256 = d.sha256);
SELECT set_config('enrich.deciding', 'projected', true);
DELETE FROM tags WHERE space_id IS NULL AND source <> 'human';
SELECT set_config('enrich.deciding', '', true);
"""


def upgrade() -> None:
    # In the order in which a worker's transaction comes to them; see 0017.
    op.execute("LOCK TABLE images IN SHARE ROW EXCLUSIVE MODE")
    op.execute("LOCK TABLE tags_set_aside IN ACCESS EXCLUSIVE MODE")
    op.execute("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE")
    for part in (TABLE, MOVE, FOLD, PROJECT, OVERWRITTEN, NAMED, DECIDED, BY_HAND):
        op.execute(part)
    op.execute(SOURCES.format(sources=f"'zero-shot', 'few-shot', 'text-fusion', {_PEOPLE}", people=_PEOPLE))
    op.execute(VIEW)
    for name in _FUNCTIONS:
        op.execute(SEARCH_PATH.format(name=name))


def downgrade() -> None:
    op.execute(_TABLE_BEFORE)
    op.execute(_BEFORE["COLUMN"])
    op.execute(_BACK)
    op.execute(_VIEW_BEFORE)
    op.execute(SOURCES.format(sources="'zero-shot', 'few-shot', 'text-fusion', 'human'", people="'human'"))
    for name in ("bytes_seen", "decide", "withdraw", "decided", "withdrawn", "name_session"):
        op.execute(f"DROP TRIGGER {name} ON tags")
    op.execute("DROP TRIGGER other_bytes ON images")
    op.execute("DROP TABLE decisions")
    op.execute(f"DROP FUNCTION {', '.join(_FUNCTIONS)}, note_bytes_seen")
    for part in ("OVERWRITTEN", "SEEN", "TAGGED"):
        op.execute(_BEFORE[part])
    for name in _BEFORE["_FUNCTIONS"]:
        op.execute(SEARCH_PATH.format(name=name))
