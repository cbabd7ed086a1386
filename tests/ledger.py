"""Looking at and nudging the ledger in tests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from worker.db import Engine, transaction
from worker.types import Hint, ObjectRef

BUCKET = "photos"


def ref(key: str, bucket: str = BUCKET) -> ObjectRef:
    return ObjectRef(bucket=bucket, key=key)


def hints(*keys: str) -> list[Hint]:
    return [Hint(ref=ref(key), source="s3", event="ObjectCreated:Put") for key in keys]


def row(engine: Engine, key: str) -> Any:
    with transaction(engine) as connection:
        return connection.execute(text("SELECT * FROM inbox WHERE key = :key"), {"key": key}).one()


def pending(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.execute(text("SELECT count(*) FROM inbox WHERE done < wanted")).scalar_one())


def expire_leases(engine: Engine) -> None:
    """Let time pass for every claim in flight, without waiting for it."""
    _set_visible(engine, "now() - interval '1 millisecond'", "token IS NOT NULL")


def make_due(engine: Engine) -> None:
    """Let time pass for every retry."""
    _set_visible(engine, "now()", "done < wanted AND token IS NULL")


def _set_visible(engine: Engine, moment: str, which: str) -> None:
    """In key order, as everything that locks several rows does."""
    rows = f"SELECT id FROM inbox WHERE {which} ORDER BY bucket, key FOR UPDATE"
    with transaction(engine) as connection:
        connection.execute(text(f"UPDATE inbox SET visible_at = {moment} WHERE id = ANY(ARRAY({rows}))"))
