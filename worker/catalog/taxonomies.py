"""Taxonomy versions, stored as they were when they decided."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from worker.catalog.in_force import applied
from worker.db import Connection

# Words for people do not change a version: the newest are kept.
_REMEMBER = text("""
    INSERT INTO taxonomies AS t (name, version, definition, many)
    SELECT * FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[]), CAST(:definitions AS jsonb[]),
                         CAST(:many AS boolean[]))
    ON CONFLICT (name, version) DO UPDATE SET definition = excluded.definition, many = excluded.many
    WHERE (t.definition, t.many) IS DISTINCT FROM (excluded.definition, excluded.many)
""")
_KEPT = text("""
    SELECT t.name, t.version, t.many, t.definition, t.first_used,
           coalesce(t.version = r.versions ->> t.name, false) AS in_force
    FROM taxonomies t
    LEFT JOIN (SELECT versions FROM taxonomy_revisions ORDER BY id DESC LIMIT 1) AS r ON true
    WHERE CAST(:names AS text[]) IS NULL OR t.name = ANY (CAST(:names AS text[]))
    ORDER BY t.name, in_force DESC, t.first_used DESC, t.version
""")


# What was in force and is not any more is not in use; what never was is only there to be searched for.
_IN_USE = text("""
    SELECT DISTINCT ON (t.name) t.name, t.version FROM taxonomies t
    LEFT JOIN (SELECT versions FROM taxonomy_revisions ORDER BY id DESC LIMIT 1) AS r ON true
    WHERE r.versions ? t.name OR NOT EXISTS (SELECT FROM taxonomy_revisions o WHERE o.versions ? t.name)
    ORDER BY t.name, coalesce(t.version = r.versions ->> t.name, false) DESC, t.first_used DESC, t.version
""")
_DEFINITION = text("SELECT definition FROM taxonomies WHERE name = :name AND version = :version")
_LABELLED = f"t.label IS NOT NULL AND {applied('t')}"
_TAGGED = text(f"SELECT EXISTS (SELECT FROM tags t WHERE t.taxonomy = :name AND {_LABELLED})")  # noqa: S608
_HAS_LABEL = text(f"""
    SELECT EXISTS (SELECT FROM tags t WHERE t.taxonomy = :name AND t.label = :label AND {applied("t")})
        OR EXISTS (SELECT FROM decisions WHERE taxonomy = :name AND label = :label)
""")  # noqa: S608
# From one name to the next by the index on them, however many tags each has.
_NAMES = text(f"""
    WITH RECURSIVE tagged AS (
        SELECT min(t.taxonomy) AS name FROM tags t WHERE {_LABELLED}
        UNION ALL
        SELECT (SELECT min(t.taxonomy) FROM tags t WHERE {_LABELLED} AND t.taxonomy > o.name)
        FROM tagged o WHERE o.name IS NOT NULL
    )
    SELECT name FROM tagged WHERE name IS NOT NULL UNION SELECT name FROM taxonomies ORDER BY name
""")  # noqa: S608
_LABELS = text(f"""
    WITH RECURSIVE tagged AS (
        SELECT min(t.label) AS label FROM tags t WHERE t.taxonomy = :name AND {_LABELLED}
        UNION ALL
        SELECT (SELECT min(t.label) FROM tags t WHERE t.taxonomy = :name AND {_LABELLED} AND t.label > o.label)
        FROM tagged o WHERE o.label IS NOT NULL
    )
    SELECT label FROM tagged WHERE label IS NOT NULL LIMIT :most
""")  # noqa: S608
_SEVERAL = text("SELECT coalesce(bool_or(many), true) FROM taxonomies WHERE name = :name")
_DROP = text("DELETE FROM taxonomies WHERE name = :name")
_WORDS = text("""
    SELECT definition FROM taxonomies
    WHERE name = :name AND version = :version AND definition ->> 'mode' IS DISTINCT FROM 'vocabulary'
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyVersion:
    """A taxonomy version to store."""

    name: str
    version: str
    many: bool  # whether an image can have several of its labels
    definition: Mapping[str, Any]  # everything else, as JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTaxonomy:
    """A taxonomy version that is or was in force."""

    name: str
    version: str
    many: bool
    definition: Mapping[str, Any]
    first_used: datetime
    in_force: bool


def remember(connection: Connection, versions: Sequence[TaxonomyVersion]) -> None:
    """Store versions; for one that is stored already, update what does not affect scores."""
    if not versions:
        return
    # In one order wherever workers start, so that none waits for another that waits for it.
    ordered = sorted(versions, key=lambda each: (each.name, each.version))
    connection.execute(
        _REMEMBER,
        {
            "names": [each.name for each in ordered],
            "versions": [each.version for each in ordered],
            "definitions": [json.dumps(each.definition) for each in ordered],
            "many": [each.many for each in ordered],
        },
    )


def kept(connection: Connection, names: Sequence[str] | None = None) -> list[KeptTaxonomy]:
    """All versions of these taxonomies, or of all: by name, the one in force first, then newest first."""
    rows = connection.execute(_KEPT, {"names": None if names is None else list(names)})
    return [KeptTaxonomy(**row._mapping) for row in rows]  # noqa: SLF001  # Row's public mapping view


def versions_in_use(connection: Connection) -> dict[str, str]:
    """Taxonomy → the version in use: the one in force, else the newest."""
    return {row.name: row.version for row in connection.execute(_IN_USE)}


def definition(connection: Connection, name: str, version: str) -> Mapping[str, Any] | None:
    """The definition of a stored version; None if it was dropped."""
    found: Mapping[str, Any] | None = connection.execute(
        _DEFINITION, {"name": name, "version": version}
    ).scalar_one_or_none()
    return found


def gives_several(connection: Connection, name: str) -> bool:
    """Whether an image may have several labels of a taxonomy, by any version that is kept; unknown: it may."""
    return bool(connection.execute(_SEVERAL, {"name": name}).scalar_one())


def has_tags_of(connection: Connection, name: str) -> bool:
    """Whether any image has a label of a taxonomy, in any space and from any source."""
    return bool(connection.execute(_TAGGED, {"name": name}).scalar_one())


def is_tagged(connection: Connection, name: str, label: str) -> bool:
    """Whether any image has this label of a taxonomy, in whatever space and by whoever, or had it from a person before
    it went into quarantine.
    """
    return bool(connection.execute(_HAS_LABEL, {"name": name, "label": label}).scalar_one())


def names(connection: Connection) -> list[str]:
    """Every taxonomy with a stored version, or a tag with a label."""
    return list(connection.execute(_NAMES).scalars())


def tagged_labels(connection: Connection, name: str, *, most: int = 1_000) -> list[str]:
    """The labels of a taxonomy that images have, in any space and from any source; the first ``most`` of them."""
    return list(connection.execute(_LABELS, {"name": name, "most": most}).scalars())


def drop(connection: Connection, name: str) -> None:
    """Delete all versions of a taxonomy and its label vectors. None may ever have been in force."""
    connection.execute(_DROP, {"name": name})


def described(connection: Connection, name: str, version: str) -> Mapping[str, Any] | None:
    """What a kept version is, or None where labels have no words for people but their names: of a vocabulary."""
    found: Mapping[str, Any] | None = connection.execute(
        _WORDS, {"name": name, "version": version}
    ).scalar_one_or_none()
    return found
