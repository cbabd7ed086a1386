"""Which cameras took the images."""

from __future__ import annotations

from sqlalchemy import text

from worker.catalog.filter_conditions import camera
from worker.db import Connection

# From one pair to the next by the index, however many images each camera took.
_KNOWN = text(f"""
    WITH RECURSIVE known AS (
        (SELECT coalesce(camera_make, '') AS make, coalesce(camera_model, '') AS model FROM images i
         WHERE {camera("i")} >= ('', '') ORDER BY coalesce(camera_make, ''), coalesce(camera_model, '') LIMIT 1)
        UNION ALL
        SELECT n.make, n.model FROM known k CROSS JOIN LATERAL (
            SELECT coalesce(camera_make, '') AS make, coalesce(camera_model, '') AS model FROM images i
            WHERE {camera("i")} > (k.make, k.model)
            ORDER BY coalesce(camera_make, ''), coalesce(camera_model, '') LIMIT 1) AS n
    )
    SELECT make, model FROM known LIMIT :most
""")  # noqa: S608  # made of this package's texts


def known(connection: Connection, *, most: int = 10_000) -> list[tuple[str, str]]:
    """Makes and models, sorted; empty where the file says none."""
    return [(row.make, row.model) for row in connection.execute(_KNOWN, {"most": most})]
