"""Fills that want missing vectors to be made from previews, for as long as they run.

Whoever makes a missing vector asks here, so that workers beside a fill do the same. A fill renews its lease; that of
one that was killed ends by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text

from worker.db import Connection

#: Seconds after its last renewal until a fill is taken for dead.
LEASE: Final = 60.0

_FORGET = text("DELETE FROM preview_fills WHERE expires_at < clock_timestamp() - interval '1 day'")
_BEGIN = text("""
    INSERT INTO preview_fills (space_id, expires_at)
    VALUES (:space, clock_timestamp() + make_interval(secs => :lease)) RETURNING id
""")
_RENEW = text("UPDATE preview_fills SET expires_at = clock_timestamp() + make_interval(secs => :lease) WHERE id = :id")
_END = text("DELETE FROM preview_fills WHERE id = :id")
_BEGAN = text("SELECT max(began_at) FROM preview_fills WHERE space_id = :space AND expires_at > clock_timestamp()")


def begin(connection: Connection, space: int) -> int:
    """Note that a fill of a space from previews begins; its number, for ``renew`` and ``end``."""
    connection.execute(_FORGET)
    number: int = connection.execute(_BEGIN, {"space": space, "lease": LEASE}).scalar_one()
    return number


def renew(connection: Connection, number: int) -> None:
    """Note that a fill still runs: due well within ``LEASE`` seconds."""
    connection.execute(_RENEW, {"id": number, "lease": LEASE})


def end(connection: Connection, number: int) -> None:
    """Note that a fill has ended. Others of the same space go on."""
    connection.execute(_END, {"id": number})


def began(connection: Connection, space: int) -> datetime | None:
    """When the last fill of a space from previews began; None if none runs.

    Images that were enriched up to then may be embedded from their previews, and later ones may not.
    """
    found: datetime | None = connection.execute(_BEGAN, {"space": space}).scalar_one()
    return found
