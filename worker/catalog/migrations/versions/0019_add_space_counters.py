"""How many vectors a space has, and how many images wait for one, counted by every transaction that changes it."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# As the ledger is counted (0017).
TABLES = """
CREATE TABLE space_counts (
    space_id integer NOT NULL,
    state    text NOT NULL,
    images   bigint NOT NULL,
    PRIMARY KEY (space_id, state)
) WITH (fillfactor = 50);
CREATE TABLE space_deltas (
    space_id integer NOT NULL,
    state    text NOT NULL,
    images   bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE TABLE space_counted (one boolean PRIMARY KEY DEFAULT true CHECK (one), since timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE space_counts IS 'How many rows embeddings has of each space, and owed_vectors, but for space_deltas.';
COMMENT ON TABLE space_deltas IS 'Changes of space_counts, added by triggers, until the scheduler folds them.';
COMMENT ON TABLE space_counted IS 'One row once the rows that were there before the triggers are counted, too.';
"""
STATE = """
CREATE FUNCTION owed_state(visible_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN visible_at = 'infinity' THEN 'failed' ELSE 'waiting' END $$;
COMMENT ON FUNCTION owed_state IS 'Which count a row of owed_vectors is part of.';
"""
_COUNT = """
CREATE FUNCTION count_{event}_in_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO space_deltas (space_id, state, images)
    SELECT space_id, state, sum(n) FROM ({rows}) AS moved (space_id, state, n)
    GROUP BY 1, 2 HAVING sum(n) <> 0;
    RETURN NULL;
END $$;
"""
_TRIGGER = """
CREATE TRIGGER count_{event} AFTER {event} ON {{on}} REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION count_{event}_in_{table}();
"""
_OLD, _NEW = "OLD TABLE AS before", "NEW TABLE AS after"
_INSERTED = _TRIGGER.format(event="insert", table="embeddings", tables=_NEW)
_DELETED = _TRIGGER.format(event="delete", table="embeddings", tables=_OLD)
# A statement fires the triggers of the table that it names: the parent's, or those of a partition. So both have them.
_OF_PARTITION = f"""
CREATE FUNCTION count_partition(name text) RETURNS void LANGUAGE plpgsql AS $of$
BEGIN
    EXECUTE format($trigger${_INSERTED.format(on="%I")}$trigger$, name);
    EXECUTE format($trigger${_DELETED.format(on="%I")}$trigger$, name);
END $of$;
COMMENT ON FUNCTION count_partition IS 'Gives a partition of embeddings the triggers that count its vectors.';
REVOKE ALL ON FUNCTION count_partition FROM PUBLIC;
"""
# `make_partition` as it was, and one line more. It keeps its owner, its rights and its search path.
_MAKE_PARTITION = """
DO $do$ BEGIN
    EXECUTE replace(pg_get_functiondef('make_partition(integer)'::regprocedure), {before}, {after});
END $do$;
"""
_ATTACH = "    EXECUTE format(''ALTER TABLE embeddings ATTACH"
_COUNTED_FIRST = f"    PERFORM count_partition(name);\n{_ATTACH}"
_EXISTING = """
DO $$ DECLARE partition text; BEGIN
    FOR partition IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                     WHERE i.inhparent = 'embeddings'::regclass LOOP
        {each}
    END LOOP;
END $$;
"""


def _quoted(line: str) -> str:
    return f"'{line}'"


def upgrade() -> None:
    # In the order in which a worker's transaction comes to them; see 0017.
    op.execute("LOCK TABLE embeddings, owed_vectors IN SHARE ROW EXCLUSIVE MODE")
    op.execute(TABLES)
    op.execute(STATE)
    after, before = "SELECT space_id, {}, 1 FROM after", "SELECT space_id, {}, -1 FROM before"
    for event, rows in {"insert": after, "delete": before}.items():
        op.execute(_COUNT.format(event=event, table="embeddings", rows=rows.format("'vectors'")))
    states = (after.format("owed_state(visible_at)"), before.format("owed_state(visible_at)"))
    for event, rows, tables in (
        ("insert", states[0], _NEW),
        ("update", f"{states[0]} UNION ALL {states[1]}", f"{_OLD} {_NEW}"),
        ("delete", states[1], _OLD),
    ):
        op.execute(_COUNT.format(event=event, table="owed_vectors", rows=rows))
        op.execute(_TRIGGER.format(event=event, table="owed_vectors", tables=tables).format(on="owed_vectors"))
    op.execute(_INSERTED.format(on="embeddings"))
    op.execute(_DELETED.format(on="embeddings"))
    op.execute(_OF_PARTITION)
    op.execute(_EXISTING.format(each="PERFORM count_partition(partition);"))
    op.execute(_MAKE_PARTITION.format(before=_quoted(_ATTACH), after=_quoted(_COUNTED_FIRST)))
    # A catalog with vectors is counted by the scheduler, without a lock: writers wait only while triggers are made.
    op.execute("""
        INSERT INTO space_counted (one) SELECT true
        WHERE NOT EXISTS (SELECT FROM embeddings) AND NOT EXISTS (SELECT FROM owed_vectors)
    """)


def downgrade() -> None:
    op.execute(_MAKE_PARTITION.format(before=_quoted(_COUNTED_FIRST), after=_quoted(_ATTACH)))
    drop = "EXECUTE format('DROP TRIGGER count_insert ON %1$I; DROP TRIGGER count_delete ON %1$I', partition);"
    op.execute(_EXISTING.format(each=drop))
    op.execute("DROP TRIGGER count_insert ON embeddings")
    op.execute("DROP TRIGGER count_delete ON embeddings")
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER count_{event} ON owed_vectors")
        op.execute(f"DROP FUNCTION count_{event}_in_owed_vectors")
    op.execute("DROP FUNCTION count_insert_in_embeddings, count_delete_in_embeddings, count_partition(text), owed_state")
    op.execute("DROP TABLE space_counts, space_deltas, space_counted")
