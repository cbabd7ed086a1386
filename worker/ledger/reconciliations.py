"""The progress of each bucket's reconciliation: any scheduler may take the next page, one at a time.

``due_at`` is all the timing there is, as ``visible_at`` is in the ledger: a claim sets it to the end of its lease, a
page that is done to the time of the next one, the last page to that of the next round. All by the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection, storable
from worker.ledger.key_ranges import Order

# A shorter interval than the one before takes effect at once, also where the next round was due in a day.
_WATCH = text("""
    INSERT INTO reconciliations AS r (bucket, prefix)
    SELECT t.bucket, t.prefix FROM unnest(CAST(:buckets AS text[]), CAST(:prefixes AS text[])) AS t (bucket, prefix)
    ORDER BY t.bucket COLLATE "C", t.prefix COLLATE "C"
    ON CONFLICT (bucket, prefix) DO UPDATE SET due_at = r.started_at + make_interval(secs => :latest)
    WHERE r.cursor IS NULL AND r.due_at > r.started_at + make_interval(secs => :latest)
""")
# Two schedulers never get the same row: it is locked with SKIP LOCKED, and invisible from then on until its lease ends.
_CLAIM = text("""
    WITH due AS (
        SELECT r.bucket, r.prefix FROM reconciliations r
        JOIN unnest(CAST(:buckets AS text[]), CAST(:prefixes AS text[])) AS t (bucket, prefix)
          ON r.bucket = t.bucket AND r.prefix = t.prefix
        WHERE r.due_at <= now() ORDER BY r.due_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
    )
    UPDATE reconciliations AS r SET
        token = nextval('inbox_token_seq'),
        due_at = now() + make_interval(secs => :lease),
        cursor = coalesce(r.cursor, ''),
        started_at = CASE WHEN r.cursor IS NULL THEN now() ELSE r.started_at END,
        listed = CASE WHEN r.cursor IS NULL THEN 0 ELSE r.listed END,
        missing = CASE WHEN r.cursor IS NULL THEN 0 ELSE r.missing END,
        stale = CASE WHEN r.cursor IS NULL THEN 0 ELSE r.stale END,
        ghost = CASE WHEN r.cursor IS NULL THEN 0 ELSE r.ghost END,
        unnameable = CASE WHEN r.cursor IS NULL THEN 0 ELSE r.unnameable END
    FROM due d WHERE r.bucket = d.bucket AND r.prefix = d.prefix
    RETURNING r.bucket, r.prefix, r.token, r.cursor, r.key_order AS order, now() AS since,
              greatest(r.listed, r.last_listed) AS expected
""")
#: Rounds that are asked for leave a pause as long as the last one took, and at least this: whoever asks often has half
#: of a scheduler's time at most.
_APART = "interval '5 s'"
# A round under way may have passed what was lost: it is not hurried, and another one follows. One that waits because
# the store could not be listed goes on now.
_ASK = text(f"""
    UPDATE reconciliations SET asked_at = now(), due_at = least(due_at, CASE
        WHEN token IS NOT NULL THEN due_at
        WHEN cursor IS NOT NULL THEN CASE WHEN last_error IS NULL THEN due_at ELSE now() END
        ELSE greatest(now(), coalesce(finished_at + greatest(finished_at - started_at, {_APART}), now())) END)
""")  # noqa: S608  # a constant
_MINE = "WHERE bucket = :bucket AND prefix = :prefix AND token = :token"
_RENEW = text(f"UPDATE reconciliations SET due_at = now() + make_interval(secs => :lease) {_MINE}")  # noqa: S608
_ADVANCE = text(f"""
    UPDATE reconciliations SET
        token = NULL, cursor = :cursor, due_at = now() + make_interval(secs => :pause), last_error = NULL,
        listed = listed + :listed, missing = missing + :missing, stale = stale + :stale, ghost = ghost + :ghost,
        unnameable = unnameable + :unnameable
    {_MINE}
""")  # noqa: S608  # a constant
_FINISH = text(f"""
    UPDATE reconciliations SET
        token = NULL, cursor = NULL, finished_at = now(), last_error = NULL,
        due_at = CASE WHEN asked_at > started_at
            THEN now() + greatest(now() - started_at, make_interval(secs => :pause), {_APART})
            ELSE greatest(started_at + make_interval(secs => :interval), now() + make_interval(secs => :pause)) END,
        listed = 0, missing = 0, stale = 0, ghost = 0, unnameable = 0,
        last_listed = listed + :listed, last_missing = missing + :missing, last_stale = stale + :stale,
        last_ghost = ghost + :ghost, last_unnameable = unnameable + :unnameable
    {_MINE}
""")  # noqa: S608  # a constant
_RESTART = text(f"""
    UPDATE reconciliations SET token = NULL, cursor = NULL, due_at = now(), key_order = :order {_MINE}
""")  # noqa: S608  # a constant
_FAIL = text(f"""
    UPDATE reconciliations SET
        token = NULL, due_at = now() + make_interval(secs => :delay), last_error = :error, failed_at = now()
    {_MINE}
""")  # noqa: S608  # a constant
_HURRY = text("""
    UPDATE reconciliations SET due_at = CASE WHEN token IS NULL THEN now() ELSE due_at END
    WHERE bucket = :bucket AND prefix = :prefix
""")
_NEXT = text("""
    SELECT extract(epoch FROM min(r.due_at) - now())::float8 FROM reconciliations r
    JOIN unnest(CAST(:buckets AS text[]), CAST(:prefixes AS text[])) AS t (bucket, prefix)
      ON r.bucket = t.bucket AND r.prefix = t.prefix
""")
_LIST = text("""
    SELECT bucket, prefix, cursor, key_order AS order, started_at, finished_at, failed_at, last_error,
           listed, last_listed, last_missing, last_stale, last_ghost, last_unnameable,
           greatest(extract(epoch FROM now() - coalesce(finished_at, added_at)), 0)::float8 AS age,
           greatest(extract(epoch FROM due_at - now()), 0)::float8 AS due_in
    FROM reconciliations ORDER BY bucket, prefix
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A watched bucket or prefix."""

    bucket: str
    prefix: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedPage:
    """A page to compare, claimed by one scheduler until its lease ends."""

    bucket: str
    prefix: str
    token: int
    cursor: str  # last key compared; empty at the beginning of a round
    order: Order
    since: datetime  # the database's time at the claim
    expected: int  # objects in the whole round, by the last one


@dataclass(frozen=True, kw_only=True, slots=True)
class PageResult:
    """The result of a page."""

    listed: int = 0
    missing: int = 0
    stale: int = 0
    ghost: int = 0
    unnameable: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciliation:
    """The state of a target; ages in seconds, by the database's clock."""

    bucket: str
    prefix: str
    cursor: str | None  # None: no round is under way
    order: Order
    started_at: datetime | None
    finished_at: datetime | None
    failed_at: datetime | None
    last_error: str | None  # since then nothing succeeded
    listed: int  # in the round under way
    last_listed: int  # the next five: in the last round that was finished
    last_missing: int
    last_stale: int
    last_ghost: int
    last_unnameable: int
    age: float  # since the last round was finished; since the target was added where none ever was
    due_in: float


def watch(connection: Connection, targets: Sequence[Target], *, interval: float) -> None:
    """Schedule these targets: new ones at once, others ``interval`` seconds after their last round began."""
    connection.execute(_WATCH, {**_columns(targets), "latest": interval})


def claim_page(connection: Connection, targets: Sequence[Target], *, lease: float) -> ClaimedPage | None:
    """Take the page that has been due the longest, for ``lease`` seconds; None if none is. Commit before working."""
    row = connection.execute(_CLAIM, {**_columns(targets), "lease": lease}).one_or_none()
    return None if row is None else ClaimedPage(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def renew_page(connection: Connection, page: ClaimedPage, *, lease: float) -> bool:
    """Extend the lease. Returns whether it was still held."""
    return connection.execute(_RENEW, {**_mine(page), "lease": lease}).rowcount == 1


def advance(connection: Connection, page: ClaimedPage, found: PageResult, *, cursor: str, pause: float) -> bool:
    """End a page; the next one is due in ``pause`` seconds. Returns whether it was still ours."""
    return _apply(connection, _ADVANCE, page, cursor=cursor, pause=pause, **_counts(found))


def finish(connection: Connection, page: ClaimedPage, found: PageResult, *, interval: float, pause: float) -> bool:
    """End the last page of a round: the next is due ``interval`` after this one began, in ``pause`` at the earliest."""
    return _apply(connection, _FINISH, page, interval=interval, pause=pause, **_counts(found))


def restart(connection: Connection, page: ClaimedPage, *, order: Order) -> bool:
    """Restart the round, because the store lists in another order than expected."""
    return _apply(connection, _RESTART, page, order=order)


def fail(connection: Connection, page: ClaimedPage, *, error: str, delay: float) -> bool:
    """Retry the same page in ``delay`` seconds, and record why."""
    return _apply(connection, _FAIL, page, error=storable(error), delay=delay)


def make_due(connection: Connection, target: Target) -> bool:
    """Make a target's next page due now. Returns whether it is known."""
    return connection.execute(_HURRY, {"bucket": target.bucket, "prefix": target.prefix}).rowcount == 1


def ask_again(connection: Connection) -> None:
    """Start a complete new round for every watched target now, whatever is under way.

    Asking again and again costs little: what is asked while a round runs comes to one more round.
    """
    connection.execute(_ASK)


def next_due(connection: Connection, targets: Sequence[Target]) -> float | None:
    """Seconds until the next page is due; negative if it is late; None without targets."""
    seconds: float | None = connection.execute(_NEXT, _columns(targets)).scalar_one()
    return seconds


def states(connection: Connection) -> list[Reconciliation]:
    """All targets that were ever watched."""
    return [Reconciliation(**row._mapping) for row in connection.execute(_LIST)]  # noqa: SLF001


def _apply(connection: Connection, statement: object, page: ClaimedPage, **values: object) -> bool:
    return connection.execute(statement, {**_mine(page), **values}).rowcount == 1  # type: ignore[call-overload,no-any-return]


def _mine(page: ClaimedPage) -> dict[str, object]:
    return {"bucket": page.bucket, "prefix": page.prefix, "token": page.token}


def _counts(found: PageResult) -> dict[str, int]:
    return {name: getattr(found, name) for name in ("listed", "missing", "stale", "ghost", "unnameable")}


def _columns(targets: Sequence[Target]) -> dict[str, list[str]]:
    return {"buckets": [each.bucket for each in targets], "prefixes": [each.prefix for each in targets]}
