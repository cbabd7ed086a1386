"""The engine and the transaction. Rooms take the open connection, so that one transaction can span them."""

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

# SQLSTATEs, postgresql.org/docs/18/errcodes-appendix.html; a class is the first two characters.
#: Connection exceptions, and a server without connections, disk or memory to spare.
_AWAY_CLASSES = frozenset({"08", "53"})
#: Shut down by an administrator, after a crash, or starting; an idle session ended; its disk fails; a standby by now.
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "58030", "25006"})
#: Deadlocks and serialisation: the transaction was rolled back so that another one could go on.
_BUSY_CLASSES = frozenset({"40"})
#: A lock that could not be had, a statement that was cancelled or ran into its time limit, a session that was paused.
_BUSY = frozenset({"55P03", "57014", "25P03"})
_READ_ONLY = "25006"
#: What somebody may be told who is not to learn addresses and user names.
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
    """Drop every connection to what is a standby since a failover, so that new ones find the primary."""
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
    """One transaction that only reads, and sees one moment in all of its statements."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def see_one_moment(connection: Connection) -> None:
    """Have a transaction that has just begun see one moment in all of its statements."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def problem(engine: Engine) -> str | None:
    """Why the database does not answer a query now, in one line; None if it does."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return in_one_line(error)
    return None


def require_unicode(engine: Engine) -> None:
    """Stop at a database that cannot store the name of every object.

    Raises:
        ConfigurationError: it was created with another encoding than UTF8.
    """
    with engine.connect() as connection:
        encoding, name = connection.execute(text("SELECT current_setting('server_encoding'), current_database()")).one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database {name!r} has the encoding {encoding}, and names of objects need UTF8, which cannot be "
            f"changed later: create another one with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`, "
            "set ENRICH_DATABASE_URL to it, and run `enrich migrate`"
        )


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    return make_url(url).render_as_string(hide_password=True)


class Trouble(enum.Enum):
    """What an error of the database says about who has to do something."""

    AWAY = "away"  # restarting, unreachable, full, or a standby: nothing can be done now, and nothing is wrong with us
    BUSY = "busy"  # this transaction was in somebody's way: the same one may succeed now
    OURS = "ours"  # the statement or the data is wrong: trying again changes nothing


def trouble(error: BaseException) -> Trouble | None:
    """Classify an error by its SQLSTATE; None for what is no error of the database.

    SQLAlchemy's and psycopg2's classes do not tell: ``OperationalError`` is a server that is gone, a deadlock, and a
    statement that takes too long every time.
    """
    if isinstance(error, PoolTimeoutError):
        return Trouble.AWAY  # every connection is in use, by queries that are not answered
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "pgcode", None)
    if not isinstance(state, str):  # refused, reset, timed out: no server said anything
        return Trouble.AWAY if error.connection_invalidated or isinstance(error, OperationalError) else Trouble.OURS
    if state in _BUSY or state[:2] in _BUSY_CLASSES:
        return Trouble.BUSY
    return Trouble.AWAY if state in _AWAY or state[:2] in _AWAY_CLASSES else Trouble.OURS


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says that the database cannot do its work now, not that a statement is wrong.

    A transaction that was in somebody's way (``Trouble.BUSY``) is no sign of that: what is tried again for ever because
    of it never ends.
    """
    return trouble(error) is Trouble.AWAY


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction may succeed later, as it is: the database is away, or somebody was in the way."""
    return trouble(error) in (Trouble.AWAY, Trouble.BUSY)


def why_away(error: BaseException) -> Away:
    """What is the matter with the database, after an error that passes: no more than a stranger may know."""
    if trouble(error) is Trouble.BUSY:
        return "busy"
    original = getattr(error, "orig", None)
    if isinstance(original, Exception) and _NO_CONNECTION_LEFT.search(str(original)):
        return "out of connections"  # the driver keeps no SQLSTATE of a connection that was refused
    return _WHY_AWAY.get(getattr(original, "pgcode", None) or "", "away")


def is_forbidden(error: BaseException) -> bool:
    """Whether the database user may not do what was asked."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == "42501"


def in_one_line(error: BaseException) -> str:
    """What the database or its driver said, for logs and status: without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def again(transact: Callable[[], _T], *, tries: int = _TRIES, pause: float = _PAUSE) -> _T:
    """Run a whole transaction, and run it again if it was in somebody's way, a bounded number of times.

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
    """Text that came from outside, as PostgreSQL can store it: without NUL and without halves of surrogate pairs."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
