"""Login codes that were used: each logs in once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

# Other machines' clocks say when a code has expired: it is remembered for longer, so that none may be used again where
# they are behind.
_FORGET = text("DELETE FROM used_login_codes WHERE expires_at < now() - interval '1 day'")
_USE = text("""
    INSERT INTO used_login_codes (nonce, expires_at) VALUES (:nonce, :expires_at) ON CONFLICT DO NOTHING RETURNING nonce
""")


def use(connection: Connection, nonce: str, *, expires_at: datetime) -> bool:
    """Use a code up. False: it was used before.

    Args:
        connection: in a transaction, which decides between two that use it at the same time.
        nonce: of the code.
        expires_at: until when it has to be remembered.
    """
    connection.execute(_FORGET)
    return connection.execute(_USE, {"nonce": nonce, "expires_at": expires_at}).scalar() is not None
