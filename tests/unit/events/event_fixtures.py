"""Recorded and documented notifications, and small builders of made-up ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "events"


def load(name: str) -> Any:
    """A fixture, parsed: one notification, or a list of them where a session was recorded."""
    return json.loads((FIXTURES / name).read_text())


def recordings() -> list[Any]:
    """Every notification ever recorded from a SeaweedFS server."""
    loaded = [load(str(path.relative_to(FIXTURES))) for path in sorted((FIXTURES / "seaweedfs").glob("*.json"))]
    return [event for one in loaded for event in (one if isinstance(one, list) else [one])]


def documented() -> list[Any]:
    """Every S3-shaped notification of the fixtures."""
    return [json.loads(path.read_text()) for path in sorted((FIXTURES / "s3").glob("*.json"))]


def aws_escape(key: str) -> str:
    """Escape a key as AWS does: form encoding that leaves slashes."""
    return quote_plus(key, safe="/")


def s3_record(key: object, *, source: str = "aws:s3", bucket: object = "photos", **more: object) -> dict[str, Any]:
    """A record with little in it."""
    return {"eventSource": source, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}, **more}


def filer_event(path: str, *, kind: str = "create", entry: dict[str, Any] | None = None) -> dict[str, Any]:
    """A SeaweedFS event of one entry."""
    side = "old_entry" if kind == "delete" else "new_entry"
    return {"event_type": kind, "key": path, "message": {side: entry or {"name": path.rpartition("/")[2]}}}
