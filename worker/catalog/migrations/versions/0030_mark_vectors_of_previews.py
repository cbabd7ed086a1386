"""Which vectors were made from previews instead of originals, how many of them a space has, and how good they are."""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE embeddings ADD COLUMN from_preview boolean NOT NULL DEFAULT false;
ALTER TABLE spaces ADD COLUMN fills_from_previews boolean NOT NULL DEFAULT false;
ALTER TABLE spaces ADD COLUMN preview_parity jsonb;
COMMENT ON COLUMN embeddings.from_preview IS 'Made from the stored preview, 512 pixels wide or high, not from the original.';
COMMENT ON COLUMN spaces.fills_from_previews IS 'Missing vectors are made from previews, where there are, as long as a fill that wants that runs.';
COMMENT ON COLUMN spaces.preview_parity IS 'How vectors of previews compared with those of their originals, when that was last measured.';
"""
_COUNT = """
CREATE OR REPLACE FUNCTION count_{event}_in_embeddings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO space_deltas (space_id, state, images)
    SELECT space_id, state, sum(n) FROM ({rows}) AS moved (space_id, state, n)
    GROUP BY 1, 2 HAVING sum(n) <> 0;
    RETURN NULL;
END $$;
"""
_VECTORS = "SELECT space_id, 'vectors', {n} FROM {table}"
_PREVIEWS = "SELECT space_id, 'previews', {n} FROM {table} WHERE from_preview"
_AFTER, _BEFORE = {"n": 1, "table": "after"}, {"n": -1, "table": "before"}
_ALL = "{} UNION ALL {}"
_UPDATED = """
CREATE TRIGGER count_update AFTER UPDATE ON {on} REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_update_in_embeddings();
"""
# `count_partition` and what calls it are as they were, and one line more.
_OF_PARTITION = """
DO $do$ BEGIN
    EXECUTE replace(pg_get_functiondef('count_partition(text)'::regprocedure), {before}, {after});
END $do$;
"""
_END = "END $function$"
_ONE_MORE = f"    EXECUTE format($trigger${_UPDATED.format(on='%I')}$trigger$, name);\n{_END}"
_EXISTING = """
DO $$ DECLARE partition text; BEGIN
    FOR partition IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                     WHERE i.inhparent = 'embeddings'::regclass LOOP
        EXECUTE format('{each}', partition);
    END LOOP;
END $$;
"""


def _quoted(lines: str) -> str:
    return "$quoted$" + lines + "$quoted$"


def upgrade() -> None:
    # In the order in which a worker's transaction comes to them; see 0017.
    op.execute("LOCK TABLE embeddings, owed_vectors IN SHARE ROW EXCLUSIVE MODE")
    op.execute(COLUMNS)
    inserted = _ALL.format(_VECTORS.format(**_AFTER), _PREVIEWS.format(**_AFTER))
    deleted = _ALL.format(_VECTORS.format(**_BEFORE), _PREVIEWS.format(**_BEFORE))
    updated = _ALL.format(_PREVIEWS.format(**_AFTER), _PREVIEWS.format(**_BEFORE))
    for event, rows in {"insert": inserted, "update": updated, "delete": deleted}.items():
        op.execute(_COUNT.format(event=event, rows=rows))
    op.execute(_UPDATED.format(on="embeddings"))
    op.execute(_OF_PARTITION.format(before=_quoted(_END), after=_quoted(_ONE_MORE)))
    op.execute(_EXISTING.format(each=_UPDATED.format(on="%I").replace("\n", " ")))


def downgrade() -> None:
    op.execute(_OF_PARTITION.format(before=_quoted(_ONE_MORE), after=_quoted(_END)))
    op.execute(_EXISTING.format(each="DROP TRIGGER count_update ON %I"))
    op.execute("DROP TRIGGER count_update ON embeddings")
    op.execute("DROP FUNCTION count_update_in_embeddings")
    for event, table in (("insert", _AFTER), ("delete", _BEFORE)):
        op.execute(_COUNT.format(event=event, rows=_VECTORS.format(**table)))
    op.execute("DELETE FROM space_counts WHERE state = 'previews'")
    op.execute("DELETE FROM space_deltas WHERE state = 'previews'")
    op.execute("ALTER TABLE spaces DROP COLUMN fills_from_previews, DROP COLUMN preview_parity")
    op.execute("ALTER TABLE embeddings DROP COLUMN from_preview")
