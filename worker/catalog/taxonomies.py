"""Taxonomy versions, kept as they were when they decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from worker.db import Connection

_REMEMBER = text("""
    INSERT INTO taxonomies (name, version, definition) VALUES (:name, :version, CAST(:definition AS jsonb))
    ON CONFLICT (name, version) DO NOTHING
""")


def remember_taxonomies(connection: Connection, definitions: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    """Store definitions by (name, version) unless they are there already."""
    if definitions:
        connection.execute(
            _REMEMBER,
            [
                {"name": name, "version": version, "definition": json.dumps(definition)}
                for (name, version), definition in definitions.items()
            ],
        )
