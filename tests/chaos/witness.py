"""Triggers that write down every step the product takes in the database, inside its own transactions.

What the tables hold at the end does not tell whether something was done twice on the way, or by whom it was undone.
The witness does: it is in the transaction that it reports, so it neither misses one nor sees one that was rolled back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Engine, transaction

_INSTALL = """
CREATE TABLE witness (
    n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    what   text NOT NULL,
    key    text NOT NULL,
    detail text,
    late   float8
);

CREATE INDEX ON witness (key, n);

CREATE FUNCTION witness_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.wanted > OLD.wanted THEN
        INSERT INTO witness (what, key, detail) VALUES (
            CASE WHEN TG_OP = 'INSERT' OR OLD.done = OLD.wanted THEN 'hint' ELSE 'hint while pending' END,
            NEW.key, NEW.source);
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NULL;
    END IF;
    IF NEW.done < OLD.done OR NEW.wanted < OLD.wanted THEN
        INSERT INTO witness (what, key, detail) VALUES ('violation', NEW.key, 'wanted or done went back');
    END IF;
    IF NEW.token IS NOT NULL AND NEW.token IS DISTINCT FROM OLD.token THEN
        IF OLD.visible_at > clock_timestamp() THEN
            INSERT INTO witness (what, key, detail) VALUES ('violation', NEW.key, 'claimed before it was visible');
        END IF;
        INSERT INTO witness (what, key, detail, late) VALUES (
            CASE WHEN OLD.token IS NULL THEN 'claim' ELSE 'reclaim' END, NEW.key, NEW.worker,
            CASE WHEN OLD.token IS NULL THEN NULL ELSE extract(epoch FROM clock_timestamp() - OLD.visible_at) END);
    ELSIF OLD.token IS NOT NULL AND NEW.token IS NULL AND NEW.done = OLD.done THEN
        INSERT INTO witness (what, key, detail)
        VALUES (CASE WHEN NEW.attempts < OLD.attempts THEN 'returned' ELSE 'retry' END, NEW.key, NEW.last_error);
    END IF;
    IF NEW.done > OLD.done THEN
        IF OLD.token IS NULL OR NEW.done IS DISTINCT FROM OLD.claimed THEN
            INSERT INTO witness (what, key, detail) VALUES ('violation', NEW.key, 'completed without a claim');
        END IF;
        INSERT INTO witness (what, key, detail) VALUES ('done', NEW.key, NEW.outcome);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE ON inbox FOR EACH ROW EXECUTE FUNCTION witness_inbox();

CREATE FUNCTION witness_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO witness (what, key) VALUES ('forget', OLD.key);
    ELSE
        INSERT INTO witness (what, key, detail) VALUES ('image', NEW.key, NEW.etag);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON images FOR EACH ROW EXECUTE FUNCTION witness_images();

CREATE FUNCTION witness_embeddings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness (what, key, detail)
    SELECT 'vector', i.key, NEW.space_id FROM images i WHERE i.id = NEW.image_id;
    RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE ON embeddings FOR EACH ROW EXECUTE FUNCTION witness_embeddings();

CREATE FUNCTION witness_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness (what, key, detail) VALUES (NEW.kind, NEW.key, NEW.etag);
    RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION witness_changes();
"""

# An image, its vector, its announcement and the end of its claim are one transaction; so are the parts of a removal.
_APART = text("""
    SELECT key, xid::text AS xid, array_agg(what ORDER BY n) AS what FROM witness
    WHERE what IN ('image', 'vector', 'enriched', 'done', 'forget', 'removed')
    GROUP BY key, xid
    HAVING count(*) FILTER (WHERE what = 'image') <> count(*) FILTER (WHERE what = 'vector')
        OR count(*) FILTER (WHERE what = 'image') <> count(*) FILTER (WHERE what = 'enriched')
        OR count(*) FILTER (WHERE what = 'forget') <> count(*) FILTER (WHERE what = 'removed')
        OR count(*) FILTER (WHERE what IN ('image', 'forget')) > count(*) FILTER (WHERE what = 'done')
        OR count(*) FILTER (WHERE what = 'done') > 1
    ORDER BY min(n)
""")
_DOUBLED = text("""
    SELECT key, detail FROM (
        SELECT n, key, what, detail, lag(what) OVER w AS what_before, lag(detail) OVER w AS detail_before FROM witness
        WHERE what IN ('image', 'forget') WINDOW w AS (PARTITION BY key ORDER BY n)
    ) AS story
    WHERE what = what_before AND detail IS NOT DISTINCT FROM detail_before ORDER BY n
""")
_VIOLATIONS = text("SELECT key, detail FROM witness WHERE what = 'violation' ORDER BY n")
# What comparing found and what came of it: a finding that was out of date when it was written down changes nothing.
_FOUND = text("""
    SELECT h.key, extract(epoch FROM h.at)::float8 AS at, e.what IS NOT NULL AS needed, e.detail AS etag
    FROM witness h
    LEFT JOIN LATERAL (
        SELECT xid FROM witness WHERE key = h.key AND what = 'done' AND n > h.n ORDER BY n LIMIT 1
    ) d ON true
    LEFT JOIN witness e ON e.key = h.key AND e.xid = d.xid AND e.what IN ('image', 'forget')
    WHERE h.what = 'hint' AND h.detail <> :source ORDER BY h.n
""")
_COUNTS = text("SELECT what, count(*) FROM witness GROUP BY what")
_LATE = text("SELECT late FROM witness WHERE what = 'reclaim' ORDER BY late")
_STORY = text("""
    SELECT to_char(at, 'HH24:MI:SS.MS') AS at, xid::text AS xid, what, detail, late FROM witness
    WHERE key = :key ORDER BY n
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Work that no event had asked for."""

    key: str
    at: float  # time.time
    needed: bool  # whether doing it changed the catalog …
    etag: str | None  # … to this content; None: the image was removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen."""

    counts: Counter[str]
    late: list[float]  # seconds from the end of a lease until the object was claimed again, in order
    apart: list[str]  # transactions that held part of a whole
    doubled: list[str]  # images written, or removed, twice in a row with the same content
    violations: list[str]  # of the ledger's rules
    found: list[Finding]  # by comparing: hints that came from no event


def install(engine: Engine) -> None:
    """Begin to watch a migrated database."""
    with transaction(engine) as connection:
        connection.exec_driver_sql(_INSTALL)


def look(engine: Engine, *, source: str) -> Seen:
    """Everything that was seen; hints of any other ``source`` were found by comparing."""
    with transaction(engine) as connection:
        return Seen(
            counts=Counter({row.what: row.count for row in connection.execute(_COUNTS)}),
            late=[row.late for row in connection.execute(_LATE)],
            apart=[f"{row.key}: transaction {row.xid} held {row.what}" for row in connection.execute(_APART)],
            doubled=[f"{row.key}: {row.detail or 'removed'}" for row in connection.execute(_DOUBLED)],
            violations=[f"{row.key}: {row.detail}" for row in connection.execute(_VIOLATIONS)],
            found=[Finding(**row._mapping) for row in connection.execute(_FOUND, {"source": source})],
        )


def story(engine: Engine, key: str) -> list[str]:
    """Everything that was seen of one object, a line each."""
    with transaction(engine) as connection:
        rows = connection.execute(_STORY, {"key": key}).all()
    return [
        f"{r.at} xid {r.xid} {r.what} {r.detail or ''} {'' if r.late is None else f'{r.late:.2f} s late'}" for r in rows
    ]
