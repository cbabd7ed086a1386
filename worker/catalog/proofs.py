"""What reviews prove about the tags of models, for readers. The view ``image_tags`` spells it out as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from worker.db import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvenPrecision:
    """How often the tags of a label are right at least, by a certificate that holds."""

    precision: float  # at least
    n: int  # reviewed images with the label that prove it
    date: datetime


#: Of a row ``t`` of ``tags``, where ``JOIN`` was joined. All are null if nothing is proven, or no longer.
COLUMNS = "c.target AS proven_precision, c.accepted AS proven_n, c.at AS proven_at"
JOIN = """
    LEFT JOIN certified_labels l ON l.taxonomy = t.taxonomy AND l.version = t.taxonomy_version AND l.label = t.label
                                AND l.space_id = t.space_id
    LEFT JOIN certificates c ON c.id = l.certificate AND c.expired_at IS NULL
"""


_PROOFS = text("""
    SELECT l.taxonomy, count(*) FILTER (WHERE c.expired_at IS NULL) AS proven,
           count(*) FILTER (WHERE c.expired_at IS NOT NULL) AS expired
    FROM certified_labels l JOIN certificates c ON c.id = l.certificate
    JOIN spaces s ON s.id = l.space_id AND s.state = 'active'
    JOIN (SELECT versions FROM taxonomy_revisions ORDER BY id DESC LIMIT 1) AS r
        ON r.versions ->> l.taxonomy = l.version
    GROUP BY l.taxonomy ORDER BY l.taxonomy
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProofCounts:
    """How many labels of a taxonomy in force have a certificate in the active space."""

    taxonomy: str
    proven: int
    expired: int


def counts(connection: Connection) -> list[ProofCounts]:
    """By taxonomy; those without certificates are left out."""
    return [ProofCounts(**row._mapping) for row in connection.execute(_PROOFS)]  # noqa: SLF001  # Row's public mapping view


def popped(columns: dict[str, Any]) -> ProvenPrecision | None:
    """Take ``COLUMNS`` out of a row."""
    precision, n, at = (columns.pop(f"proven_{name}") for name in ("precision", "n", "at"))
    return None if precision is None else ProvenPrecision(precision=precision, n=n, date=at)
