"""The engine and the transaction. Rooms take the open connection, so that one transaction can span them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

__all__ = [
    "Connection",
    "Engine",
    "connect",
    "is_unavailable",
    "problem",
    "storable",
    "transaction",
    "without_password",
]

#: Every statement of ours is short; one that is not must fail loudly rather than hold locks.
_STATEMENT_TIMEOUT_MS = 60_000
_LOCK_TIMEOUT_MS = 15_000
#: A process that is paused, or whose machine is lost, inside a transaction: its rows' locks and its hold on the change
#: feed end here, not when TCP gives up after hours.
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
_CONNECT_TIMEOUT_S = 5
#: A server that vanished without a word is noticed after 30 s of silence, also with a query under way.
_TCP = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def connect(url: str, *, name: str, pool_size: int = 5) -> Engine:
    """An engine on PostgreSQL. Opens no connection yet.

    Args:
        url: ``postgresql://…``; the driver is always psycopg2. Its ``options``, such as a search path, are kept.
        name: shown in ``pg_stat_activity``, so that a DBA can tell the processes apart.
        pool_size: connections kept; as many again may open under load.
    """
    address = make_url(url).set(drivername="postgresql+psycopg2")
    return create_engine(
        address,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are kept and logged: without thousands of keys and vectors
        connect_args={
            "application_name": f"enrich {name}",
            "connect_timeout": _CONNECT_TIMEOUT_S,
            **_TCP,
            "options": " ".join((_options(), *address.normalized_query.get("options", ()))),
        },
    )


def _options() -> str:
    return (
        f"-cstatement_timeout={_STATEMENT_TIMEOUT_MS} -clock_timeout={_LOCK_TIMEOUT_MS} "
        f"-cidle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_TIMEOUT_MS} -cTimeZone=UTC"
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    with engine.begin() as connection:
        yield connection


def problem(engine: Engine) -> str | None:
    """Why the database does not answer a query now, in one line; None if it does."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return " ".join(str(error.orig).split())
    return None


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    return make_url(url).render_as_string(hide_password=True)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says that the database is away (restarting, unreachable), not that a statement is wrong."""
    return isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def storable(value: str) -> str:
    """Text that came from outside, as PostgreSQL can store it: without NUL and without halves of surrogate pairs."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
