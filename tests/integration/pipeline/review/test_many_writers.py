"""Deciders, workers that overwrite, removals and undos at once: in the end, what is in force is what was decided."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from sqlalchemy import text

from tests.integration.pipeline.review.test_deciding import ask, space, write
from tests.ledger import ref
from worker import catalog
from worker.catalog.decisions import Verdict
from worker.db import Engine, again, transaction
from worker.pipeline.review import undo
from worker.pipeline.review.decide import DecisionOutcome, DecisionRequest, Seen, decide

__all__ = ["space"]  # the fixture

KEYS, BYTES = "abcdef", ("ab" * 32, "cd" * 32)
LABELS = {"light": ["day", "night"], "things": ["cat", "sofa", "lamp"], "kinds": ["animal", "dog", "poodle", "cat"]}
_DIFFERENCE = text("""
    WITH decided AS (
        SELECT i.id, d.taxonomy, d.label, d.source FROM images i, decided_tags(ARRAY[i.bucket], ARRAY[i.key]) d
        WHERE d.sha256 = i.sha256
    ), written AS (SELECT image_id, taxonomy, label, source FROM tags WHERE space_id IS NULL)
    (SELECT 'missing', * FROM (SELECT * FROM decided EXCEPT ALL SELECT * FROM written) AS m)
    UNION ALL (SELECT 'too many', * FROM (SELECT * FROM written EXCEPT ALL SELECT * FROM decided) AS t)
""")


def _request(dice: random.Random, key: str) -> DecisionRequest:
    taxonomy = dice.choice(list(LABELS))
    verdict = dice.choice([Verdict.ACCEPT, Verdict.REJECT, Verdict.NONE, Verdict.UNSURE])
    label = dice.choice(LABELS[taxonomy]) if verdict in (Verdict.ACCEPT, Verdict.REJECT) else None
    return ask(key, taxonomy, verdict, label, seen=Seen(sha256=dice.choice([None, *BYTES])))


def test_many_writers_at_once(engine: Engine, space):  # the fixture
    """None fails, and no image has a tag in force that the decisions about its bytes do not give it."""
    batches: list[UUID] = []

    def decides(dice: random.Random) -> None:
        requests = [_request(dice, key) for key in dice.sample(KEYS, dice.randint(1, len(KEYS)))]
        done = decide(engine, requests, reviewer="ada")
        if done.count(DecisionOutcome.SAVED):
            batches.append(done.batch)

    def overwrites(dice: random.Random) -> None:
        keys = sorted(dice.sample(KEYS, 3))
        again(lambda: write(engine, *keys, sha256=dice.choice(BYTES)))

    def removes(dice: random.Random) -> None:
        def transact() -> None:
            with transaction(engine) as connection:
                removals = [catalog.removal.Removal(ref=ref(key)) for key in dice.sample(KEYS, 2)]
                catalog.removal.remove(connection, removals)

        again(transact)
        time.sleep(0.05)

    def undoes(dice: random.Random) -> None:
        if batches:
            undo.undo_batch(engine, dice.choice(batches), reviewer="bob")
        time.sleep(0.02)

    until = time.monotonic() + 4

    def repeat(seed: int, what: Callable[[random.Random], None]) -> None:
        dice = random.Random(seed)
        while time.monotonic() < until:
            what(dice)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(repeat, range(6), [decides, decides, overwrites, overwrites, removes, undoes]))
    assert batches
    with transaction(engine) as connection:
        assert [] == list(connection.execute(_DIFFERENCE))
