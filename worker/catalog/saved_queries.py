"""Searches that people saved under a name, in the API's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from worker.db import Connection

_COLUMNS = "name, query, space_id AS space, created_at, updated_at"
_SAVE = text(f"""
    INSERT INTO saved_queries AS s (name, query, space_id) VALUES (:name, CAST(:query AS jsonb), :space)
    ON CONFLICT (name) DO UPDATE SET query = excluded.query, space_id = excluded.space_id, updated_at = now()
    RETURNING {_COLUMNS}
""")  # noqa: S608  # constants
_ONE = text(f"SELECT {_COLUMNS} FROM saved_queries WHERE name = :name")  # noqa: S608
_ALL = text(f"SELECT {_COLUMNS} FROM saved_queries ORDER BY name LIMIT :limit")  # noqa: S608
_NAMES = text("SELECT name FROM saved_queries ORDER BY name")
_DELETE = text("DELETE FROM saved_queries WHERE name = :name")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('enrich saved queries', 0))")
_OTHERS = text("SELECT count(*) FROM saved_queries WHERE name <> :name")


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedQuery:
    """A saved search."""

    name: str
    query: Mapping[str, Any]  # a request of ``POST /v1/search``
    space: int | None  # of the vectors in it; None: it has none
    created_at: datetime
    updated_at: datetime


def save(connection: Connection, name: str, query: Mapping[str, Any], *, space: int | None) -> SavedQuery:
    """Save a query, in place of one of this name."""
    row = connection.execute(_SAVE, {"name": name, "query": json.dumps(query), "space": space}).one()
    return SavedQuery(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def others(connection: Connection, name: str) -> int:
    """How many queries of other names there are; no more are saved while the transaction lasts."""
    connection.execute(_LOCK)
    return int(connection.execute(_OTHERS, {"name": name}).scalar_one())


def one(connection: Connection, name: str) -> SavedQuery | None:
    """The query of a name; None if there is none."""
    row = connection.execute(_ONE, {"name": name}).one_or_none()
    return None if row is None else SavedQuery(**row._mapping)  # noqa: SLF001


def every(connection: Connection, *, limit: int) -> list[SavedQuery]:
    """All of them, by name."""
    return [SavedQuery(**row._mapping) for row in connection.execute(_ALL, {"limit": limit})]  # noqa: SLF001


def names(connection: Connection) -> list[str]:
    """The names of all."""
    return list(connection.execute(_NAMES).scalars())


def delete(connection: Connection, name: str) -> bool:
    """Delete one. Returns whether there was one."""
    return bool(connection.execute(_DELETE, {"name": name}).rowcount)
