"""Reconciliation: what no event announced is found on a schedule."""

from __future__ import annotations

import time

import pytest

from tests.ledger import BUCKET, pending, ref
from tests.pictures import picture
from worker.objects import MemoryStore
from worker.pipeline.reconcile import Reconciler, Target, targets
from worker.pipeline.verify import Verify


@pytest.fixture
def verify(world):
    return Verify(engine=world.engine, store=world.store, ring=world.enricher.ring, settle=0)


def test_a_lost_upload_is_found_and_somebody_is_woken(world, verify):
    """No event, no command: the object is pending within one round."""
    world.store.put(ref("lost.jpg"), picture(), "image/jpeg")
    reconciler = Reconciler(verify, lambda: [Target(bucket=BUCKET)], interval=3_600)
    reconciler.start()
    deadline = time.monotonic() + 5
    while not world.rung and time.monotonic() < deadline:
        time.sleep(0.02)
    reconciler.stop()
    assert (1, 1) == (pending(world.engine), len(world.rung))


def test_a_bucket_that_is_gone_does_not_keep_the_others_from_their_turn(world, verify):
    """One wrong setting costs one bucket."""
    world.store.put(ref("lost.jpg"), picture(), "image/jpeg")
    reconciler = Reconciler(verify, lambda: [Target(bucket="gone"), Target(bucket=BUCKET)], interval=1)
    assert [1] == [found.repaired for found in reconciler.round()]


def test_it_comes_round_again(world, verify):
    """The second round finds what was lost after the first; an error in between does not end the thread."""
    calls: list[float] = []

    def find():
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise ZeroDivisionError
        return [Target(bucket=BUCKET)]

    reconciler = Reconciler(verify, find, interval=0.05)
    reconciler.start()
    time.sleep(0.1)
    world.store.put(ref("late.jpg"), picture(), "image/jpeg")
    deadline = time.monotonic() + 5
    while pending(world.engine) == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    reconciler.stop()
    assert 1 == pending(world.engine)


def test_targets_are_what_is_watched_or_every_bucket():
    """Prefixes are kept; nothing watched means everything the store has."""
    store = MemoryStore("b", "a")
    assert [Target(bucket="x", prefix="in/"), Target(bucket="y")] == targets(["x/in/", "y"], store)
    assert [Target(bucket="a"), Target(bucket="b")] == targets([], store)
