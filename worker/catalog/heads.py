"""Heads: every fit, and how it compared with zero-shot. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text

from worker.db import Connection

#: PostgreSQL refuses a real closer to zero; 127 won and none lost has less.
_SMALLEST = 1e-37


@dataclass(frozen=True, kw_only=True, slots=True)
class NewHead:
    """A fit."""

    space: int
    taxonomy: str
    scoring: str  # ``Taxonomy.scoring`` before it
    digest: str
    labels: tuple[str, ...]
    strength: float  # of the penalty, lambda
    decisions: int  # that it learned from
    last_decision: int
    judged: int  # images on which it was compared with zero-shot
    won: int
    lost: int
    p: float  # of the sign test
    promoted_by: Literal["test", "person"] | None  # None: it was not put into force
    made_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredHead(NewHead):
    """A stored fit."""

    id: int
    at: datetime


_NEW = [field.name for field in fields(NewHead)]
_NAMES = {"space": "space_id", "strength": "lambda"}
_COLUMNS = ", ".join(f"h.{_NAMES.get(each.name, each.name)} AS {each.name}" for each in fields(StoredHead))
_INSERT = text(f"""
    INSERT INTO heads ({", ".join(_NAMES.get(each, each) for each in _NEW)})
    VALUES ({", ".join(":" + each for each in _NEW)}) RETURNING id
""")  # noqa: S608  # names of columns
_BY_ID = text(f"SELECT {_COLUMNS} FROM heads h WHERE h.id = :id")  # noqa: S608
_LIST = text(f"""
    SELECT {_COLUMNS} FROM heads h
    WHERE (cardinality(CAST(:taxonomies AS text[])) = 0 OR h.taxonomy = ANY(CAST(:taxonomies AS text[])))
      AND (CAST(:before AS bigint) IS NULL OR h.id < :before)
    ORDER BY h.id DESC LIMIT :limit
""")  # noqa: S608


def add(connection: Connection, new: NewHead) -> int:
    """Store a fit; its number."""
    given = {each: getattr(new, each) for each in _NEW} | {"labels": list(new.labels), "p": max(new.p, _SMALLEST)}
    return int(connection.execute(_INSERT, given).scalar_one())


def newest(
    connection: Connection, taxonomies: Sequence[str] = (), *, limit: int, before: int | None = None
) -> list[StoredHead]:
    """Fits, newest first, older than ``before``."""
    given = {"taxonomies": list(taxonomies), "limit": limit, "before": before}
    return [_head(row) for row in connection.execute(_LIST, given)]


def by_id(connection: Connection, number: int) -> StoredHead | None:
    """One fit."""
    row = connection.execute(_BY_ID, {"id": number}).one_or_none()
    return None if row is None else _head(row)


def _head(row: Any) -> StoredHead:
    columns = dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
    return StoredHead(**columns | {"labels": tuple(columns["labels"])})
