"""Ends claims. The fencing token protects everything here: a late worker changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from worker.db import Connection, storable
from worker.types import Outcome, Reason, RetryReason

# Locked in key order, like hints, so that the two never deadlock.
_LOCK = text("""
    SELECT id FROM inbox WHERE token = :token AND id = ANY(CAST(:ids AS bigint[])) ORDER BY bucket, key FOR UPDATE
""")

# Unchanged means that the catalog's entry is current: enriched, also where an object had been in quarantine without its
# bytes having been seen (access denied). A hint that arrived mid-flight leaves the row pending and visible.
# One that kills keeps that on its record until it ends in another way: events come twice, and people retry.
_COMPLETE = text("""
    UPDATE inbox AS i SET
        done        = i.claimed,
        claimed     = NULL,
        token       = NULL,
        attempts    = 0,
        deaths      = 0,
        exposed_deaths = c.killer::integer,
        visible_at  = now(),
        hinted_at   = CASE WHEN i.wanted > i.claimed THEN now() ELSE i.hinted_at END,
        outcome     = CASE WHEN c.outcome = 'unchanged' THEN 'enriched' ELSE c.outcome END,
        etag        = coalesce(c.etag, CASE WHEN c.outcome = 'unchanged' THEN i.etag END),
        last_error  = c.error,
        retry_reason = NULL,
        finished_at = now()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:outcomes AS text[]), CAST(:etags AS text[]), CAST(:errors AS text[]),
                CAST(:killers AS boolean[])) AS c (id, outcome, etag, error, killer)
    WHERE i.id = c.id AND i.token = :token
    RETURNING i.id
""")

# Of what never was, nothing is kept: it was not deleted. But what a listing shows under a name that is no text, and the
# store does not find, would be looked for again with every listing.
_NEVER_WAS = text("""
    DELETE FROM inbox
    WHERE id = ANY(CAST(:ids AS bigint[])) AND token = :token AND claimed = wanted AND outcome IS NULL
      AND strpos(key, chr(65533)) = 0
""")

#: Seconds.
_LONGEST_UNCOUNTED = 900.0

_GIVEN_UP = text("SELECT inbox_id, etag, reason FROM given_up WHERE inbox_id = ANY(CAST(:ids AS bigint[]))")
_RESUMED = text("DELETE FROM given_up WHERE inbox_id = ANY(CAST(:ids AS bigint[]))")
_LEAVE_QUARANTINE = text("DELETE FROM quarantine WHERE inbox_id = ANY(CAST(:ids AS bigint[]))")

_ENTER_QUARANTINE = text("""
    INSERT INTO quarantine (inbox_id, reason, message, etag, size, first_bytes, attempts)
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[]), CAST(:messages AS text[]),
                         CAST(:etags AS text[]), CAST(:sizes AS bigint[]), CAST(:first_bytes AS bytea[]),
                         CAST(:attempts AS integer[]))
    ON CONFLICT (inbox_id) DO UPDATE SET
        reason = excluded.reason, message = excluded.message, etag = excluded.etag, size = excluded.size,
        first_bytes = excluded.first_bytes, attempts = excluded.attempts, since = now()
""")

# What does not count as an attempt has no number to grow its delay by. It waits a tenth of the time it has waited so
# far: an outage costs a tenth more at most, and a bucket that is gone for good soon costs next to nothing.
_RETRY = text(f"""
    UPDATE inbox AS i SET
        claimed      = NULL,
        token        = NULL,
        lane         = greatest(i.lane, 1),
        attempts     = i.attempts - CASE WHEN r.counted THEN 0 ELSE 1 END,
        visible_at   = now() + make_interval(secs => CASE WHEN r.counted THEN r.delay ELSE greatest(r.delay,
            least(extract(epoch FROM now() - i.hinted_at) / 10, {_LONGEST_UNCOUNTED}) * (0.5 + random() / 2)) END),
        retry_reason = r.reason,
        last_error   = r.error
    FROM unnest(CAST(:ids AS bigint[]), CAST(:delays AS float8[]), CAST(:reasons AS text[]), CAST(:errors AS text[]),
                CAST(:counted AS boolean[])) AS r (id, delay, reason, error, counted)
    WHERE i.id = r.id AND i.token = :token
""")  # noqa: S608  # a constant

# Both lock in key order, too, and name the partial index's condition, so that they read what is in flight only.
_IN_HAND = """
    id = ANY(ARRAY(SELECT id FROM inbox WHERE token = ANY(CAST(:tokens AS bigint[])) AND done < wanted
                   ORDER BY bucket, key FOR UPDATE))
"""

# The token stays: a visible row with a token is what claim() takes alone. No worker: nobody died.
_ABANDON = text(f"UPDATE inbox SET visible_at = now(), worker = NULL WHERE {_IN_HAND}")  # noqa: S608  # a constant

# Returning what was not worked on takes the attempt back: nothing was tried.
_RELEASE = text(f"""
    UPDATE inbox SET claimed = NULL, token = NULL, visible_at = now(), attempts = greatest(attempts - 1, 0)
    WHERE {_IN_HAND}
""")  # noqa: S608  # a constant


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineRecord:
    """Why an object cannot be enriched, with its first bytes as evidence."""

    reason: Reason
    message: str
    attempts: int
    size: int | None = None
    first_bytes: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """The end of one claimed object; ``outcome`` is any but RETRY."""

    id: int
    outcome: Outcome
    etag: str | None = None  # of what was read
    quarantine: QuarantineRecord | None = None  # exactly with Outcome.QUARANTINED


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """One claimed object to retry."""

    id: int
    delay: float  # seconds, at least
    error: str
    reason: RetryReason = RetryReason.UNEXPECTED
    counted: bool = True  # False: the attempt was not the object's fault (an outage) and is taken back


def lock(connection: Connection, token: int, ids: Collection[int]) -> frozenset[int]:
    """Lock the rows of a claim for this transaction.

    Returns:
        The ids still held under ``token``; write nothing for the others.
    """
    return frozenset(connection.execute(_LOCK, {"token": token, "ids": list(ids)}).scalars())


def complete(connection: Connection, token: int, completions: Sequence[Completion]) -> None:
    """Set ``done`` and the outcome of locked rows, and move them into or out of quarantine.

    An object that the store does not have, and that was never found there, has no row any more. What a person gave up
    stays so, unless its bytes are others now.
    """
    if not completions:
        return
    if gone := [each.id for each in completions if each.outcome is Outcome.GONE]:
        connection.execute(_NEVER_WAS, {"token": token, "ids": gone})
    killers = {each.id for each in completions if each.quarantine is not None and _kills(each.quarantine)}
    completions = _without_given_up(connection, completions)
    ended = connection.execute(
        _COMPLETE,
        {
            "token": token,
            "ids": [each.id for each in completions],
            "outcomes": [str(each.outcome) for each in completions],
            "etags": [_etag(each) for each in completions],
            "killers": [each.id in killers for each in completions],
            "errors": [storable(each.quarantine.message) if each.quarantine else None for each in completions],
        },
    )
    _move(connection, completions, frozenset(ended.scalars()))


def _without_given_up(connection: Connection, completions: Sequence[Completion]) -> list[Completion]:
    """The outcomes, with objects as excluded that a person gave up and that have not changed since."""
    rows = connection.execute(_GIVEN_UP, {"ids": [each.id for each in completions]})
    given_up = {row.inbox_id: row for row in rows}
    kept = {each.id for each in completions if each.id in given_up and _is_as_given_up(each, given_up[each.id])}
    if others := [each.id for each in completions if each.id in given_up and each.id not in kept]:
        connection.execute(_RESUMED, {"ids": others})
    return [
        Completion(id=each.id, outcome=Outcome.EXCLUDED, etag=given_up[each.id].etag) if each.id in kept else each
        for each in completions
    ]


def _is_as_given_up(each: Completion, given_up: Row[Any]) -> bool:
    if each.outcome is Outcome.UNCHANGED:
        return given_up.etag is not None and _etag(each) == given_up.etag
    if each.quarantine is None or _etag(each) != given_up.etag:
        return False
    # Where nothing was read, then or now, only the reason tells.
    return given_up.etag is not None or str(each.quarantine.reason) == given_up.reason


def _move(connection: Connection, completions: Sequence[Completion], ended: Collection[int]) -> None:
    """Move objects into or out of quarantine, as far as the token was still valid."""
    completions = [each for each in completions if each.id in ended]
    left = [each.id for each in completions if each.outcome is not Outcome.QUARANTINED]
    if left:
        connection.execute(_LEAVE_QUARANTINE, {"ids": left})
    entries = [(each, each.quarantine) for each in completions if each.quarantine is not None]
    if entries:
        connection.execute(_ENTER_QUARANTINE, _entries(entries))


def _entries(entries: Sequence[tuple[Completion, QuarantineRecord]]) -> dict[str, list[object]]:
    return {
        "ids": [completion.id for completion, _ in entries],
        "reasons": [str(entry.reason) for _, entry in entries],
        "messages": [storable(entry.message) for _, entry in entries],
        "etags": [_etag(completion) for completion, _ in entries],
        "sizes": [entry.size for _, entry in entries],
        "first_bytes": [entry.first_bytes for _, entry in entries],
        "attempts": [entry.attempts for _, entry in entries],
    }


def _kills(entry: QuarantineRecord) -> bool:
    return entry.reason is Reason.KILLED_WORKER


def _etag(completion: Completion) -> str | None:
    return None if completion.etag is None else storable(completion.etag)


def retry(connection: Connection, token: int, retries: Sequence[Retry]) -> None:
    """Give objects back for a retry, each after its delay, and record why."""
    if retries:
        connection.execute(
            _RETRY,
            {
                "token": token,
                "ids": [each.id for each in retries],
                "delays": [each.delay for each in retries],
                "reasons": [str(each.reason) for each in retries],
                "errors": [storable(each.error) for each in retries],
                "counted": [each.counted for each in retries],
            },
        )


def abandon(connection: Connection, token: int) -> None:
    """End a claim whose batch failed as a whole: its objects can be claimed again at once, one by one."""
    connection.execute(_ABANDON, {"tokens": [token]})


def release(connection: Connection, tokens: Sequence[int]) -> int:
    """Give whole claims back untouched, at once, without counting the attempt: a worker is shutting down.

    Returns:
        How many objects were given back.
    """
    return connection.execute(_RELEASE, {"tokens": list(tokens)}).rowcount
