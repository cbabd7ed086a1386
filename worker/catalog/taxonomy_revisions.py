"""Revisions: which taxonomies are in force. A writer of tags locks the revision that decided them while it writes.

The fence, which the rule in docs/decisions is about: a transaction that writes tags first takes a lock that many can
share, then looks which revision is in force, and gives up if that is not the one it has. Making a revision takes the
same lock alone. So when a revision is committed, every tag of an older one is committed, too, and none comes after it:
one pass over what is there finds all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import text

from worker.db import Connection
from worker.errors import OutdatedTaxonomiesError
from worker.types import DEFAULT_SET

#: The origin of a revision: the first worker on a catalog, or a command.
Action: TypeAlias = Literal["begin", "apply", "rollback"]

_LOCK = "hashtextextended('enrich taxonomies', 0)"
_SHARE = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
# Whoever writes waits behind us while we wait for those who are writing: not for long.
_BRIEFLY = text("SELECT set_config('lock_timeout', '2s', true)")
_ALONE = text(f"SELECT pg_advisory_xact_lock({_LOCK})")
_COLUMNS = "id, versions, sets, action, back_to, made_by, made_at"
_CURRENT = text(f"SELECT {_COLUMNS} FROM taxonomy_revisions ORDER BY id DESC LIMIT 1")  # noqa: S608  # constants
_NUMBER = text("SELECT coalesce(max(id), 0) FROM taxonomy_revisions")
_BY_NUMBER = text(f"SELECT {_COLUMNS} FROM taxonomy_revisions WHERE id = :id")  # noqa: S608
_ALL = text(f"SELECT {_COLUMNS} FROM taxonomy_revisions ORDER BY id DESC LIMIT :limit")  # noqa: S608
_INSERT = text(f"""
    INSERT INTO taxonomy_revisions (id, versions, sets, action, back_to, made_by)
    SELECT coalesce(max(id), 0) + 1, CAST(:versions AS jsonb), CAST(:sets AS jsonb), :action, :back_to, :made_by
    FROM taxonomy_revisions
    RETURNING {_COLUMNS}
""")  # noqa: S608
_HAND_OVER = text("UPDATE taxonomy_revisions SET sets = CAST(:sets AS jsonb) WHERE id = :id")
# The revision behind the last one in which this version was not in force.
_ORIGINS = text("""
    SELECT v.name, v.version, s.id AS revision, s.made_by, s.made_at AS since
    FROM taxonomy_revisions r, jsonb_each_text(r.versions) AS v (name, version), LATERAL (
        SELECT id, made_by, made_at FROM taxonomy_revisions o WHERE o.id > coalesce(
            (SELECT max(id) FROM taxonomy_revisions b WHERE b.id < r.id AND b.versions ->> v.name IS DISTINCT FROM v.version),
            0)
        ORDER BY id LIMIT 1
    ) AS s
    WHERE r.id = :id ORDER BY v.name
""")  # noqa: E501
_DEFINITIONS = text("""
    SELECT t.name, t.version, t.definition
    FROM taxonomy_revisions r, jsonb_each_text(r.versions) AS v (name, version)
    JOIN taxonomies t ON t.name = v.name AND t.version = v.version
    WHERE r.id = :id ORDER BY t.name
""")

# A space without vectors has no tags either, and gets none but those of the revision in force.
_BEGIN_EMPTY = text("""
    INSERT INTO retaggings (space_id, revision, finished_at)
    SELECT :space, :revision, now() WHERE NOT EXISTS (SELECT FROM embeddings WHERE space_id = :space)
    ON CONFLICT DO NOTHING
""")
_BEGIN = text("""
    INSERT INTO retaggings (space_id, revision) VALUES (:space, :revision)
    ON CONFLICT (space_id, revision) DO NOTHING
""")
_RETAGGING = text("""
    SELECT space_id AS space, revision, after, images, changed, started_at, finished_at
    FROM retaggings WHERE space_id = :space AND revision = :revision
""")
_RETAGGINGS = text("""
    SELECT space_id AS space, revision, after, images, changed, started_at, finished_at
    FROM retaggings ORDER BY revision DESC, space_id
""")
_ADVANCE = text("""
    UPDATE retaggings SET after = :after, images = images + :images WHERE space_id = :space AND revision = :revision
      AND after < :after
""")
_CHANGED = text("""
    UPDATE retaggings SET changed = changed + :changed WHERE space_id = :space AND revision = :revision
""")
_FINISH = text("""
    UPDATE retaggings SET finished_at = now()
    WHERE space_id = :space AND revision = :revision AND finished_at IS NULL
""")
_RESTART = text("""
    UPDATE retaggings SET after = 0, images = 0, finished_at = NULL WHERE space_id = :space AND revision = :revision
""")
# Of a hundred million tags a minute is not enough, and a person can press Ctrl-C.
_FOR_AS_LONG_AS_IT_TAKES = text("SELECT set_config('statement_timeout', '0', true)")
_PER_VERSION = text("""
    SELECT taxonomy AS name, taxonomy_version AS version, count(DISTINCT image_id) AS images
    FROM tags WHERE space_id = :space GROUP BY taxonomy, taxonomy_version ORDER BY taxonomy, taxonomy_version
""")

_APPLY_LOCK = "hashtextextended('enrich taxonomy apply', 0)"
_TRY_APPLYING = text(f"SELECT pg_try_advisory_lock({_APPLY_LOCK})")
_END_APPLYING = text(f"SELECT pg_advisory_unlock({_APPLY_LOCK})")
_APPLIER = text(f"""
    SELECT a.pid, a.backend_start, host(a.client_addr) AS host
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = {_APPLY_LOCK} AND l.objsubid = 1
""")  # noqa: S608, E501  # constants


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """The taxonomies that are, or were, in force."""

    id: int
    versions: Mapping[str, str]  # name → version
    sets: Mapping[str, str]  # name → the set that owns it; use ``set_of``
    action: Action
    back_to: int | None  # with ``rollback``: the revision whose content came back
    made_by: str  # user@host
    made_at: datetime

    def set_of(self, name: str) -> str:
        """The set that owns a taxonomy."""
        return self.sets.get(name, DEFAULT_SET)


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Since when a taxonomy's version has been in force, and who applied it."""

    name: str
    version: str
    revision: int
    made_by: str  # user@host
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Retagging:
    """How far a space's stored tags follow a revision."""

    space: int
    revision: int
    after: int  # images up to this one do
    images: int  # looked at so far
    changed: int  # of which a label came or went
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionImages:
    """How many images have tags from a version."""

    name: str
    version: str
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Applier:
    """The session that applies taxonomies now."""

    pid: int  # of the database's session
    since: datetime
    host: str | None  # None: on the database's machine, through a socket


def current(connection: Connection) -> Revision | None:
    """The revision in force; None before the first worker has run."""
    row = connection.execute(_CURRENT).one_or_none()
    return None if row is None else Revision(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def numbered(connection: Connection, number: int) -> Revision | None:
    """A revision by its number."""
    row = connection.execute(_BY_NUMBER, {"id": number}).one_or_none()
    return None if row is None else Revision(**row._mapping)  # noqa: SLF001


def recent(connection: Connection, *, limit: int) -> list[Revision]:
    """The newest revisions, newest first."""
    return [Revision(**row._mapping) for row in connection.execute(_ALL, {"limit": limit})]  # noqa: SLF001


def definitions_of(connection: Connection, revision: int) -> list[tuple[str, Mapping[str, Any]]]:
    """(version, definition) of each taxonomy of a revision, by name."""
    return [(row.version, row.definition) for row in connection.execute(_DEFINITIONS, {"id": revision})]


def origins(connection: Connection, revision: int) -> list[Origin]:
    """Where each taxonomy of a revision comes from, by name."""
    return [Origin(**row._mapping) for row in connection.execute(_ORIGINS, {"id": revision})]  # noqa: SLF001


def hold(connection: Connection, revision: int) -> None:
    """Keep a revision in force until the transaction ends; to be called before anything else is locked.

    Raises:
        OutdatedTaxonomiesError: another one is in force. Nothing may be written that was decided by this one.
    """
    connection.execute(_SHARE)
    # A statement of its own: its snapshot must be younger than the lock.
    current = connection.execute(_NUMBER).scalar_one()
    if current != revision:
        raise OutdatedTaxonomiesError(had=revision, current=current)


def make(
    connection: Connection,
    versions: Mapping[str, str],
    *,
    action: Action,
    made_by: str,
    sets: Mapping[str, str] | None = None,
    back_to: int | None = None,
) -> Revision:
    """Put stored taxonomies into force when this commits; nothing else may be locked before.

    Waits for those who are writing tags, for two seconds at most: then the statement fails with ``lock_not_available``
    and may be repeated.
    """
    connection.execute(_BRIEFLY)
    connection.execute(_ALONE)
    row = connection.execute(
        _INSERT,
        {
            "versions": json.dumps(dict(versions)),
            "sets": json.dumps(dict(sets or {})),
            "action": action,
            "back_to": back_to,
            "made_by": made_by,
        },
    ).one()
    return Revision(**row._mapping)  # noqa: SLF001


def begin(
    connection: Connection, versions: Mapping[str, str], *, made_by: str, sets: Mapping[str, str] | None = None
) -> Revision:
    """The revision in force, or a first one with these versions."""
    connection.execute(_BRIEFLY)
    connection.execute(_ALONE)
    found = current(connection)
    return found or make(connection, versions, action="begin", made_by=made_by, sets=sets)


def hand_over(connection: Connection, revision: int, sets: Mapping[str, str]) -> None:
    """Record who owns the taxonomies of a revision. The caller holds the lock of ``try_applying``. No tag changes."""
    connection.execute(_HAND_OVER, {"id": revision, "sets": json.dumps(dict(sets))})


# -- how far stored tags are -------------------------------------------------------------------------------------------
def note_empty(connection: Connection, space: int, revision: int) -> None:
    """Record that a space without vectors needs no retagging, before anything is written into it."""
    connection.execute(_BEGIN_EMPTY, {"space": space, "revision": revision})


def begin_retagging(connection: Connection, space: int, revision: int) -> Retagging:
    """The progress of retagging a space by a revision; starts it if necessary."""
    connection.execute(_BEGIN, {"space": space, "revision": revision})
    found = retagging(connection, space, revision)
    assert found is not None  # noqa: S101  # it was inserted
    return found


def retagging(connection: Connection, space: int, revision: int) -> Retagging | None:
    """The progress of retagging a space by a revision; None if it has not started."""
    row = connection.execute(_RETAGGING, {"space": space, "revision": revision}).one_or_none()
    return None if row is None else Retagging(**row._mapping)  # noqa: SLF001


def retaggings(connection: Connection) -> list[Retagging]:
    """All retaggings, newest revision first."""
    return [Retagging(**row._mapping) for row in connection.execute(_RETAGGINGS)]  # noqa: SLF001


def advance(connection: Connection, space: int, revision: int, *, after: int, images: int) -> None:
    """Record that images up to ``after`` are done, ``images`` more than before."""
    connection.execute(_ADVANCE, {"space": space, "revision": revision, "after": after, "images": images})


def note_changed(connection: Connection, space: int, revision: int, changed: int) -> None:
    """Record how many images have other labels now, in the transaction that changed them."""
    if changed:
        connection.execute(_CHANGED, {"space": space, "revision": revision, "changed": changed})


def finish_retagging(connection: Connection, space: int, revision: int) -> None:
    """Mark a retagging as finished."""
    connection.execute(_FINISH, {"space": space, "revision": revision})


def restart_retagging(connection: Connection, space: int, revision: int) -> None:
    """Start a retagging over, from the first image."""
    connection.execute(_RESTART, {"space": space, "revision": revision})


def images_per_version(connection: Connection, space: int) -> list[VersionImages]:
    """Count all tags of a space, however long it takes: for people, not for hot paths."""
    connection.execute(_FOR_AS_LONG_AS_IT_TAKES)
    return [VersionImages(**row._mapping) for row in connection.execute(_PER_VERSION, {"space": space})]  # noqa: SLF001


# -- one at a time -----------------------------------------------------------------------------------------------------
def try_applying(connection: Connection) -> Applier | None:
    """Become the only process that applies taxonomies, until the connection is closed.

    Returns:
        Who else does; None if we do now.
    """
    if connection.execute(_TRY_APPLYING).scalar_one():
        return None
    row = connection.execute(_APPLIER).first()
    if row is None:  # it has just ended
        return try_applying(connection)
    return Applier(pid=row.pid, since=row.backend_start, host=row.host)


def end_applying(connection: Connection) -> None:
    """Let other processes apply taxonomies: sooner than the database would find that the connection is closed."""
    connection.execute(_END_APPLYING)
