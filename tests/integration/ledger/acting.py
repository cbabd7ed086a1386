"""What workers do to the ledger, each in a transaction of its own."""

from __future__ import annotations

from tests.ledger import hints
from worker import ledger
from worker.db import Engine, transaction
from worker.ledger.completion import Completion, Retry
from worker.types import Lane, Outcome


def claim(engine: Engine, *, size: int = 10, lease: float = 60, poison_images: bool = True, worker: str = "w"):
    with transaction(engine) as connection:
        return ledger.claims.claim(connection, worker=worker, size=size, lease=lease, poison_images=poison_images)


def hint(engine: Engine, *keys: str, lane: Lane = Lane.LIVE):
    with transaction(engine) as connection:
        return ledger.hints.hint(connection, hints(*keys), lane=lane)


def complete(engine: Engine, taken, outcome: Outcome = Outcome.ENRICHED) -> int:
    with transaction(engine) as connection:
        held = ledger.completion.lock(connection, taken.token, [each.id for each in taken.objects])
        ledger.completion.complete(
            connection, taken.token, [Completion(id=id_, outcome=outcome, etag="e") for id_ in held]
        )
        return len(held)


def retry(engine: Engine, taken, *, delay: float = 0, counted: bool = True) -> None:
    with transaction(engine) as connection:
        retries = [Retry(id=each.id, delay=delay, error="boom", counted=counted) for each in taken.objects]
        ledger.completion.retry(connection, taken.token, retries)


def keys(taken) -> list[str]:
    return [each.ref.key for each in taken.objects] if taken else []
