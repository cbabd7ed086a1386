"""A ledger for the catalog of the pages' tests, with one of everything that operators look at."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from tests.ledger import ref
from worker import ledger
from worker.db import Engine, transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.ledger.heartbeats import ProcessReport
from worker.ledger.reconciliations import Target
from worker.types import Hint, Lane, Outcome, Reason


def execute(engine: Engine, statement: str, **values: object) -> None:
    """Run one statement."""
    with transaction(engine) as connection:
        connection.execute(text(statement), values)


def announce(engine: Engine, *keys: str, lane: Lane = Lane.LIVE) -> None:
    """Make objects pending, as a notification does."""
    with transaction(engine) as connection:
        hints = [Hint(ref=ref(key), source="s3", event="ObjectCreated:Put") for key in keys]
        ledger.hints.hint(connection, hints, lane=lane)


def finish(
    engine: Engine, outcome: Outcome, *, reason: Reason = Reason.TRUNCATED, data: bytes | None = b"\xff\xd8"
) -> None:
    """End everything that is pending, as a worker does."""
    with transaction(engine) as connection:
        claim = ledger.claims.claim(connection, worker="test", size=1_000, lease=60)
        assert claim is not None
        why = QuarantineRecord(
            reason=reason, message=f"{reason}: so the decoder says", attempts=1, size=1_536, first_bytes=data
        )
        quarantine = why if outcome is Outcome.QUARANTINED else None
        ended = [Completion(id=each.id, outcome=outcome, etag="e", quarantine=quarantine) for each in claim.objects]
        ledger.completion.complete(connection, claim.token, ended)


def refuse(engine: Engine, *keys: str, reason: Reason = Reason.TRUNCATED) -> None:
    """Put objects into quarantine. Nothing else may be pending."""
    announce(engine, *keys)
    finish(engine, Outcome.QUARANTINED, reason=reason)


def enrich_all(engine: Engine) -> None:
    """Give every image of the catalog its row of the ledger."""
    execute(
        engine,
        "INSERT INTO inbox (bucket, key, source, wanted, done, outcome, etag, finished_at) "
        "SELECT bucket, key, 's3', 1, 1, 'enriched', etag, now() FROM images",
    )


def report(engine: Engine, *names: str) -> None:
    """Heartbeats of processes such as ``worker@here:1``."""
    with transaction(engine) as connection:
        for name in names:
            kind = name.partition("@")[0]
            model = "tiny: a fake that sees colours" if kind == "worker" else None
            ledger.heartbeats.record(connection, ProcessReport(name=name, kind=kind, host="here", model=model))


def reconcile(engine: Engine, *, listed: int, buckets: Sequence[str] = ("photos",)) -> None:
    """A complete comparison of each bucket that found nothing."""
    with transaction(engine) as connection:
        ledger.reconciliations.watch(connection, [Target(bucket=each) for each in buckets], interval=3_600)
    execute(engine, "UPDATE reconciliations SET started_at = now(), finished_at = now(), last_listed = :n", n=listed)
