"""The engine and the transaction. Rooms receive an open connection, so that one transaction can span several."""

from __future__ import annotations

import enum
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from worker.errors import ConfigurationError

__all__ = [
    "Away",
    "Connection",
    "Engine",
    "Trouble",
    "again",
    "connect",
    "in_one_line",
    "is_forbidden",
    "is_passing",
    "is_unavailable",
    "problem",
    "require_unicode",
    "snapshot",
    "storable",
    "transaction",
    "trouble",
    "why_away",
    "without_password",
]

_T = TypeVar("_T")

#: All our statements are short; one that is not must fail loudly instead of holding locks.
_STATEMENT_TIMEOUT_MS = 60_000
_LOCK_TIMEOUT_MS = 15_000
#: A process that is paused, or whose machine is lost, inside a transaction: its rows' locks and its hold on the change
#: feed end here, not when TCP gives up after hours.
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
_CONNECT_TIMEOUT_S = 5
#: A server that vanishes silently is noticed after 30 s, even during a query.
_TCP = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}

# SQLSTATEs, postgresql.org/docs/18/errcodes-appendix.html; a class is the first two characters.
#: Connection exceptions, and a server without connections, disk or memory to spare.
_AWAY_CLASSES = frozenset({"08", "53"})
#: Shut down by an administrator, after a crash, or starting; an idle session ended; a disk failure; now a standby.
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "58030", "25006"})
#: Deadlocks and serialisation failures: the transaction was rolled back so that another could continue.
_BUSY_CLASSES = frozenset({"40"})
#: A lock that was not available, a statement that was cancelled or timed out, a session that was paused.
_BUSY = frozenset({"55P03", "57014", "25P03"})
_READ_ONLY = "25006"
#: Descriptions that reveal neither addresses nor user names.
Away: TypeAlias = Literal["away", "read-only", "full", "out of connections", "busy"]
_WHY_AWAY: dict[str, Away] = {_READ_ONLY: "read-only", "53100": "full"}
_NO_CONNECTION_LEFT = re.compile(r"FATAL:\s+(sorry, too many clients|too many connections|remaining connection slots)")

_TRIES = 3
#: Seconds before the second try; each further one waits twice as long.
_PAUSE = 0.1


def connect(url: str, *, name: str, pool_size: int = 5) -> Engine:
    """An engine on PostgreSQL. Opens no connection yet.

    Args:
        url: ``postgresql://…``; the driver is always psycopg2. Its ``options``, such as a search path, are kept.
        name: shown in ``pg_stat_activity``, so that a DBA can tell the processes apart.
        pool_size: connections kept; as many again may open under load.
    """
    address = make_url(url).set(drivername="postgresql+psycopg2")
    engine = create_engine(
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
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def _leave_a_standby(context: ExceptionContext) -> None:
    """Drop every connection to a server that became a standby, so that new ones find the primary."""
    if getattr(context.original_exception, "pgcode", None) == _READ_ONLY:
        context.is_disconnect = True


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


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """One read-only transaction in which all statements see the same snapshot."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def see_one_moment(connection: Connection) -> None:
    """Make all statements of a transaction that has just begun see the same snapshot."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def problem(engine: Engine) -> str | None:
    """Why the database does not answer a query, in one line; None if it does."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return in_one_line(error)
    return None


def require_unicode(engine: Engine) -> None:
    """Raise if the database cannot store every object name.

    Raises:
        ConfigurationError: its encoding is not UTF8.
    """
    with engine.connect() as connection:
        encoding, name = connection.execute(text("SELECT current_setting('server_encoding'), current_database()")).one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database {name!r} has the encoding {encoding}, but object names need UTF8, and the encoding cannot "
            f"be changed later: create another database with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`, "
            "set ENRICH_DATABASE_URL to it, and run `enrich migrate`"
        )


def without_password(url: str) -> str:
    """A database URL that is safe to show."""
    return make_url(url).render_as_string(hide_password=True)


class Trouble(enum.Enum):
    """What kind of problem a database error is, and so what helps."""

    AWAY = "away"  # restarting, unreachable, full, or a standby: wait until it is back
    BUSY = "busy"  # this transaction conflicted with another one: repeating it may succeed
    OURS = "ours"  # the statement or the data is wrong: repeating it does not help


def trouble(error: BaseException) -> Trouble | None:
    """Classify an error by its SQLSTATE; None if it is not a database error.

    SQLAlchemy's and psycopg2's classes do not tell: ``OperationalError`` is a server that is gone, a deadlock, and a
    statement that takes too long every time.
    """
    if isinstance(error, PoolTimeoutError):
        return Trouble.AWAY  # every connection is in use, by queries that are not answered
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "pgcode", None)
    if not isinstance(state, str):  # refused, reset, timed out: no answer from a server
        return Trouble.AWAY if error.connection_invalidated or isinstance(error, OperationalError) else Trouble.OURS
    if state in _BUSY or state[:2] in _BUSY_CLASSES:
        return Trouble.BUSY
    return Trouble.AWAY if state in _AWAY or state[:2] in _AWAY_CLASSES else Trouble.OURS


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means that the database is unavailable now, not that a statement is wrong.

    A transaction that blocked another one (``Trouble.BUSY``) is not a sign of that: retrying it would never end.
    """
    return trouble(error) is Trouble.AWAY


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction may succeed later: the database was unavailable, or there was a conflict."""
    return trouble(error) in (Trouble.AWAY, Trouble.BUSY)


def why_away(error: BaseException) -> Away:
    """Why the database is unavailable, after a temporary error, in words that strangers may read."""
    if trouble(error) is Trouble.BUSY:
        return "busy"
    original = getattr(error, "orig", None)
    if isinstance(original, Exception) and _NO_CONNECTION_LEFT.search(str(original)):
        return "out of connections"  # the driver keeps no SQLSTATE of a connection that was refused
    return _WHY_AWAY.get(getattr(original, "pgcode", None) or "", "away")


def is_forbidden(error: BaseException) -> bool:
    """Whether the database user lacks a permission."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == "42501"


def in_one_line(error: BaseException) -> str:
    """The message of the database or its driver without the statement, for logs and status."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def again(transact: Callable[[], _T], *, tries: int = _TRIES, pause: float = _PAUSE) -> _T:
    """Run a whole transaction, and repeat it a bounded number of times if it conflicts with another one.

    Args:
        transact: opens and ends a transaction of its own; what it does outside of it happens again, too.
        tries: in all.
        pause: seconds before the second try, doubling, with jitter.
    """
    for attempt in range(tries - 1):
        try:
            return transact()
        except DBAPIError as error:
            if trouble(error) is not Trouble.BUSY:
                raise
        time.sleep(pause * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
    return transact()


def storable(value: str) -> str:
    """Text from outside, as PostgreSQL can store it: without NUL and lone surrogates."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
