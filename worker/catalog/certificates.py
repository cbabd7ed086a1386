"""Certificates: what reviews prove about the precision of a label, or why they prove nothing. Rows are only added."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import text

from worker.db import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class NewCertificate:
    """A look at reviews, and what it proves."""

    space: int
    taxonomy: str
    label: str | None  # None: all labels together
    scoring: str  # ``Taxonomy.scoring`` of the model and space
    head: int | None
    target: float
    delta: float  # 1 - confidence
    look: int  # from 0
    spent: float  # of delta, at this look
    threshold: float | None  # None: nothing is proven
    reviewed: int
    accepted: int
    errors: int
    lower_bound: float | None
    coverage: float | None
    plans: tuple[int, ...]
    last_decision: int | None
    made_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate(NewCertificate):
    """A stored certificate."""

    id: int
    at: datetime
    expired_at: datetime | None
    expired_because: str | None


_NEW = [field.name for field in fields(NewCertificate)]
_NAMES = {"space": "space_id"}
_COLUMNS = ", ".join(f"c.{_NAMES.get(each.name, each.name)} AS {each.name}" for each in fields(Certificate))
_INSERT = text(f"""
    INSERT INTO certificates ({", ".join(_NAMES.get(each, each) for each in _NEW)})
    VALUES ({", ".join(":" + each for each in _NEW)}) RETURNING id
""")  # noqa: S608  # names of columns
_NEWEST = text(f"""
    SELECT DISTINCT ON (c.taxonomy, c.label, c.target) {_COLUMNS} FROM certificates c
    WHERE c.space_id = :space
      AND (cardinality(CAST(:taxonomies AS text[])) = 0 OR c.taxonomy = ANY(CAST(:taxonomies AS text[])))
    ORDER BY c.taxonomy, c.label, c.target, c.id DESC
""")  # noqa: S608
_BY_ID = text(f"SELECT {_COLUMNS} FROM certificates c WHERE c.id = ANY(CAST(:ids AS bigint[])) ORDER BY c.id")  # noqa: S608
_EXPIRE = text("""
    UPDATE certificates SET expired_at = now(), expired_because = :because WHERE id = :id AND expired_at IS NULL
""")
_LAST_EXPIRED = text("""
    SELECT label, max(last_decision) AS decision FROM certificates
    WHERE space_id = :space AND taxonomy = :taxonomy AND scoring = :scoring AND expired_at IS NOT NULL
      AND last_decision IS NOT NULL
    GROUP BY label
""")
# The model's answer, also where a person's takes its place.
_GIVEN = text("""
    SELECT t.image_id AS image, array_agg(t.label) AS labels
    FROM (SELECT DISTINCT bucket, key FROM decisions
          WHERE taxonomy = :taxonomy AND chosen = 'random' AND id > :after) d
    JOIN images i ON i.bucket = d.bucket AND i.key = d.key
    JOIN tags t ON t.image_id = i.id AND t.taxonomy = :taxonomy AND t.space_id = :space
        AND t.label = ANY(CAST(:labels AS text[]))
    GROUP BY t.image_id
""")
_CERTIFY = text("""
    INSERT INTO certified_labels (space_id, taxonomy, version, label, certificate)
    SELECT * FROM unnest(CAST(:spaces AS integer[]), CAST(:taxonomies AS text[]), CAST(:versions AS text[]),
                         CAST(:labels AS text[]), CAST(:certificates AS bigint[]))
    ON CONFLICT (taxonomy, version, label, space_id) DO UPDATE SET certificate = excluded.certificate
    WHERE certified_labels.certificate <> excluded.certificate
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class CertifiedLabel:
    """Which certificate stands behind a label of a taxonomy version."""

    space: int
    taxonomy: str
    version: str
    label: str
    certificate: int


def add(connection: Connection, new: NewCertificate) -> int:
    """Store a certificate; its number."""
    given = {each: getattr(new, each) for each in _NEW} | {"plans": list(new.plans)}
    return int(connection.execute(_INSERT, given).scalar_one())


def newest(connection: Connection, space: int, taxonomies: Sequence[str] = ()) -> list[Certificate]:
    """The last certificate about each label and target in a space, whatever it says and whichever scoring it is of."""
    rows = connection.execute(_NEWEST, {"space": space, "taxonomies": list(taxonomies)})
    return [_certificate(row) for row in rows]


def by_id(connection: Connection, ids: Collection[int]) -> dict[int, Certificate]:
    """These certificates; unknown ones are left out."""
    return {row.id: _certificate(row) for row in connection.execute(_BY_ID, {"ids": list(ids)})}


def expire(connection: Connection, number: int, *, because: str) -> bool:
    """Note that a certificate no longer holds; False if that was noted before."""
    return connection.execute(_EXPIRE, {"id": number, "because": because}).rowcount == 1


def last_expired(connection: Connection, *, space: int, taxonomy: str, scoring: str) -> dict[str | None, int]:
    """Label → the last decision behind a certificate that no longer holds: what it was about has changed since."""
    rows = connection.execute(_LAST_EXPIRED, {"space": space, "taxonomy": taxonomy, "scoring": scoring})
    return {row.label: row.decision for row in rows}


def given(
    connection: Connection, space: int, taxonomy: str, labels: Sequence[str], *, after: int
) -> dict[int, list[str]]:
    """Image → which of the labels the model gives it, for images with random decisions after this one."""
    asked = {"space": space, "taxonomy": taxonomy, "labels": list(labels), "after": after}
    return {row.image: list(row.labels) for row in connection.execute(_GIVEN, asked)}


def certify(connection: Connection, labels: Sequence[CertifiedLabel]) -> None:
    """Note which certificates stand behind the labels of stored taxonomy versions."""
    if not labels:
        return
    ordered = sorted(labels, key=lambda each: (each.taxonomy, each.version, each.label, each.space))
    connection.execute(
        _CERTIFY,
        {
            "spaces": [each.space for each in ordered],
            "taxonomies": [each.taxonomy for each in ordered],
            "versions": [each.version for each in ordered],
            "labels": [each.label for each in ordered],
            "certificates": [each.certificate for each in ordered],
        },
    )


def _certificate(row: Any) -> Certificate:
    columns = dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
    return Certificate(**columns | {"plans": tuple(columns["plans"])})
