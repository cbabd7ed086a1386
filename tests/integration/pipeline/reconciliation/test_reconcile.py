"""Reconciliation: what no event announced is found on a schedule, page by page, by whichever scheduler is there."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, make_due, pending, ref
from tests.memory_store import MemoryStore
from tests.pictures import picture
from tests.waiting import until
from worker import ledger
from worker.db import transaction
from worker.errors import StoreUnavailableError
from worker.ledger.reconciliations import PageResult, Target
from worker.pipeline.reconciliation import reconcile as module
from worker.pipeline.reconciliation.reconcile import PageReconciler, Reconciler, ReconcileSchedule, targets
from worker.watched_buckets import Watched

HERE = (Target(bucket=BUCKET),)
LONG_AGO = datetime.now(UTC) - timedelta(days=9)


@pytest.fixture
def reconcile(world: World, monkeypatch):
    """Pages of three keys, whose objects were written long ago."""
    monkeypatch.setattr(module, "PAGE", 3)
    listing = world.store.list
    world.store.list = lambda *given, **named: (
        replace(each, last_modified=LONG_AGO) for each in listing(*given, **named)
    )
    with transaction(world.engine) as connection:
        ledger.reconciliations.watch(connection, HERE, interval=3_600)
    pace = ReconcileSchedule(interval=3_600, pages_per_second=1_000_000)
    return PageReconciler(engine=world.engine, store=world.store, notify=world.enricher.notify, pace=pace, settle=0)


def in_folder_order(world: World):
    """Have the store list as SeaweedFS does."""
    listing = world.store.list

    def by_folder(bucket, prefix="", start_after=""):
        found = sorted(listing(bucket, prefix=prefix), key=lambda each: each.key.split("/"))
        return (each for each in found if each.key.split("/") > start_after.split("/") or not start_after)

    world.store.list = by_folder


def drain(world: World):
    make_due(world.engine)
    while world.run() is not None:
        continue


def fill(world: World, *keys):
    for key in keys:
        world.upload(key, b"text", "text/plain")
    drain(world)


def due(world: World, where=HERE):
    """Let time pass until the next page, or the next round."""
    with transaction(world.engine) as connection:
        for each in where:
            connection.execute(text("UPDATE reconciliations SET due_at = now()"))
            assert ledger.reconciliations.make_due(connection, each)


def state(world: World):
    with transaction(world.engine) as connection:
        [found] = ledger.reconciliations.states(connection)
    return found


def finish_round(world: World, reconcile, *, most=100):
    """Steps until the round is over. Returns how many."""
    before = state(world).finished_at
    for steps in range(1, most):
        due(world)
        assert reconcile.step(HERE)
        if state(world).finished_at != before:
            return steps
    raise AssertionError(state(world))


def last(world: World):
    found = state(world)
    return found.last_missing, found.last_stale, found.last_ghost


KEYS = tuple(f"{number:02}.txt" for number in range(10))


@pytest.mark.parametrize("order", ["bytes", "folders"])
def test_lost_events_are_found_page_by_page(world: World, reconcile, order):
    """An upload, an overwrite and a delete that nobody told us of, anywhere in the bucket: found once, then never."""
    keys = ("a!1.txt", "a!9.txt", "a.txt", "a/1.txt", "a/2.txt", "a/b/3.txt", "b!/1.txt", "b!.1", "b/9.txt", "c.txt")
    fill(world, *keys)
    if order == "folders":
        in_folder_order(world)
        finish_round(world, reconcile)
    gone = ("a!1.txt", "a/2.txt", "b/9.txt", "c.txt")
    for key in gone:
        world.store.delete(ref(key))
    world.store.put(ref("a/new.txt"), b"text", "text/plain")
    world.store.put(ref("a.txt"), b"other text", "text/plain")
    finish_round(world, reconcile)
    assert (order, (1, 1, 4)) == (state(world).order, last(world))
    assert 6 == pending(world.engine)
    drain(world)
    finish_round(world, reconcile)
    assert ((0, 0, 0), 7, 0) == (last(world), state(world).last_listed, pending(world.engine))


@pytest.mark.parametrize("table", ["images", "embeddings", "tags"])
def test_what_the_catalog_lost_is_found_without_an_event(world: World, reconcile, table):
    """The ledger calls it enriched; it is pending work after a round, and there again after that."""
    world.upload("a.jpg", picture())
    drain(world)
    with transaction(world.engine) as connection:
        connection.execute(text(f"DELETE FROM {table}"))
    finish_round(world, reconcile)
    assert ((1, 0, 0), 1) == (last(world), pending(world.engine))
    drain(world)
    assert world.image("a.jpg") is not None


def test_a_store_that_lists_in_another_order_is_noticed(world: World, reconcile):
    """The round begins again, as often as it must; nothing known and listed is taken for a ghost."""
    fill(world, "a!1.txt", "a/1.txt", "b!.1", "b/1.txt", "c.txt")
    in_folder_order(world)
    finish_round(world, reconcile)
    assert ("folders", (0, 0, 0), 5) == (state(world).order, last(world), state(world).last_listed)
    listing = world.store.list

    def backwards(bucket, prefix="", start_after=""):
        found = sorted(listing(bucket, prefix=prefix), key=lambda each: each.key, reverse=True)
        return (each for each in found if not start_after or each.key < start_after)

    world.store.list = backwards
    world.store.delete(ref("b!.1"))
    finish_round(world, reconcile)
    assert ("any", (0, 0, 1), 4) == (state(world).order, last(world), state(world).last_listed)


def test_a_restarted_scheduler_goes_on_behind_the_last_key(world: World, reconcile):
    """Nothing is listed twice, nothing is left out: the state is in the database after every page."""
    fill(world, *KEYS)
    asked: list[str] = []
    listing = world.store.list

    def note(bucket, prefix="", start_after=""):
        asked.append(start_after)
        return listing(bucket, prefix=prefix, start_after=start_after)

    world.store.list = note
    for _ in range(4):
        due(world)
        PageReconciler(engine=world.engine, store=world.store, notify=world.enricher.notify, pace=reconcile.pace).step(
            HERE
        )
    assert ["", "02.txt", "05.txt", "08.txt"] == asked
    assert (None, 10) == (state(world).cursor, state(world).last_listed)


def test_a_listing_that_breaks_off_concludes_nothing_beyond_its_last_key(world: World, reconcile):
    """What was lost before it is found; the rest waits for the same page, and why is kept."""
    fill(world, *KEYS)
    for key in ("01.txt", "08.txt"):
        world.store.delete(ref(key))
    listing = world.store.list

    def break_off(bucket, prefix="", start_after=""):
        yield from itertools.islice(listing(bucket, prefix=prefix, start_after=start_after), 0 if start_after else 5)
        raise StoreUnavailableError("503 SlowDown")

    world.store.list = break_off
    for _ in range(2):
        due(world)
        assert reconcile.step(HERE)
    found = state(world)
    assert ("03.txt", "503 SlowDown", 1) == (found.cursor, found.last_error, pending(world.engine))
    assert found.due_in > 30
    world.store.list = listing
    finish_round(world, reconcile)
    assert (2, None) == (pending(world.engine), state(world).last_error)


def test_two_schedulers_do_not_take_the_same_page(world: World, reconcile):
    """The first has it until its lease ends; then it is anybody's, and the first one's result is refused."""
    fill(world, *KEYS)
    with transaction(world.engine) as connection:
        first = ledger.reconciliations.claim_page(connection, HERE, lease=60)
    assert first is not None
    assert not reconcile.step(HERE)
    with transaction(world.engine) as connection:
        connection.execute(text("UPDATE reconciliations SET due_at = now()"))
    assert reconcile.step(HERE)
    with transaction(world.engine) as connection:
        assert not ledger.reconciliations.renew_page(connection, first, lease=60)
        assert not ledger.reconciliations.advance(connection, first, PageResult(listed=3), cursor="99", pause=0)
    assert ("02.txt", 3) == (state(world).cursor, state(world).listed)


def test_a_round_is_due_an_interval_after_the_last_began(world: World, reconcile):
    """With a tenth of jitter either way; a shorter interval takes effect at once."""
    finish_round(world, reconcile)
    assert 0.89 * 3_600 < state(world).due_in < 1.1 * 3_600
    with transaction(world.engine) as connection:
        ledger.reconciliations.watch(connection, HERE, interval=60)
    assert state(world).due_in <= 60


def test_pages_are_spread_over_half_of_the_interval_and_never_faster_than_the_rate():
    """A small bucket is done in seconds, a large one in half an hour, a huge one as fast as may be."""
    pace = ReconcileSchedule(interval=3_600, pages_per_second=10)
    assert [1.0, 0.18, 0.1] == [round(pace.pause(objects), 3) for objects in (5_000, 10_000_000, 1_000_000_000)]


def test_more_ghosts_than_a_page_are_all_found(world: World, reconcile):
    """A bucket that was emptied behind our back."""
    fill(world, *KEYS)
    for key in KEYS:
        world.store.delete(ref(key))
    finish_round(world, reconcile)
    assert ((0, 0, 10), 10) == (last(world), pending(world.engine))


def test_ghosts_outside_of_the_prefix_are_not_looked_for(world: World, reconcile):
    """Watched is what is watched."""
    fill(world, "in/1.txt", "in/2.txt", "other/1.txt")
    for key in ("in/1.txt", "other/1.txt"):
        world.store.delete(ref(key))
    there = (Target(bucket=BUCKET, prefix="in/"),)
    with transaction(world.engine) as connection:
        ledger.reconciliations.watch(connection, there, interval=60)
    assert reconcile.step(there)
    assert 1 == pending(world.engine)


def test_keys_that_cannot_be_kept_as_a_cursor_are_passed(world: World, reconcile):
    """A page ends with a key that can be continued behind; the others are counted."""
    fill(world, "a.txt", "z.txt")
    strange = ("b\0.txt", "c\ufffd.txt", "d\0.txt", "e\ud800.txt")
    listing = world.store.list

    def with_strange(bucket, prefix="", start_after=""):
        [sample, *_] = listing(bucket)
        found = [*listing(bucket), *(replace(sample, key=key) for key in strange)]
        return (each for each in sorted(found, key=lambda each: each.key) if each.key > start_after)

    world.store.list = with_strange
    finish_round(world, reconcile)
    assert (6, 3, 1) == (state(world).last_listed, state(world).last_unnameable, state(world).last_missing)


def test_a_bucket_that_is_gone_does_not_keep_the_others_from_their_turn(world: World, reconcile):
    """One wrong setting costs one bucket."""
    both = (Target(bucket="gone"), *HERE)
    world.store.put(ref("lost.jpg"), picture(), "image/jpeg")
    with transaction(world.engine) as connection:
        ledger.reconciliations.watch(connection, both, interval=60)
    assert [True, True, False] == [reconcile.step(both) for _ in range(3)]
    assert 1 == pending(world.engine)


def test_the_thread_comes_round_again_and_survives_errors(world: World, reconcile, monkeypatch):
    """The second round finds what was lost after the first; an error in between does not end the thread."""
    monkeypatch.setattr(module, "_NAP", 0.05)
    calls: list[float] = []

    def find():
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise StoreUnavailableError("not yet")
        return HERE

    reconciler = Reconciler(replace(reconcile, pace=ReconcileSchedule(interval=0.1, pages_per_second=100)), find)
    reconciler.start()
    until(lambda: state(world).finished_at is not None)
    world.store.put(ref("late.jpg"), picture(), "image/jpeg")
    until(lambda: pending(world.engine) == 1)
    reconciler.publish()
    reconciler.stop()
    assert world.rung


def test_targets_are_what_is_watched_or_every_bucket():
    """Prefixes are kept; * means everything the store has, and nothing nothing; nothing is watched twice."""
    store = MemoryStore("b", "a")
    assert [Target(bucket="x", prefix="in/"), Target(bucket="y")] == targets(Watched(("x/in/", "y", "x/in/")), store)
    assert [Target(bucket="a"), Target(bucket="b")] == targets(Watched(("*",)), store)
    assert [] == targets(Watched(()), store)


def ask(world: World):
    with transaction(world.engine) as connection:
        ledger.reconciliations.ask_again(connection)


def test_a_round_that_is_asked_for_begins_at_once(world: World, reconcile):
    """Hours before the next one is due; then the schedule is what it was."""
    fill(world, *KEYS)
    finish_round(world, reconcile)
    wait_for_the_pause_after_a_round(world)
    assert not reconcile.step(HERE)
    ask(world)
    assert 0 == state(world).due_in
    finish_round(world, reconcile)
    assert state(world).due_in > 3_000


def test_what_a_round_under_way_has_passed_is_found_by_the_next(world: World, reconcile):
    """An event that is lost behind the cursor: asked for in the midst of a round, another one follows, and only one."""
    fill(world, *KEYS)
    due(world)
    assert reconcile.step(HERE)
    world.store.put(ref("00.new"), b"text", "text/plain")
    for _ in range(3):
        ask(world)
    finish_round(world, reconcile)
    assert (0, 0, 0) == last(world)
    assert state(world).due_in < 60
    finish_round(world, reconcile)
    assert (1, 0, 0) == last(world)
    assert state(world).due_in > 3_000


def test_whoever_asks_all_the_time_has_half_of_the_time(world: World, reconcile):
    """After a round of ten minutes, the next that is asked for begins ten minutes later."""
    fill(world, *KEYS)
    finish_round(world, reconcile)
    with transaction(world.engine) as connection:
        connection.execute(text("UPDATE reconciliations SET started_at = finished_at - interval '10 min'"))
    ask(world)
    assert 590 < state(world).due_in <= 600


def test_a_bucket_that_could_not_be_listed_is_listed_when_it_is_asked_for(world: World, reconcile, monkeypatch):
    """The store is back: its page does not wait for the end of its pause."""
    fill(world, *KEYS)

    def fails(*_, **__):
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "list", fails)
        due(world)
        assert reconcile.step(HERE)
    assert state(world).due_in > 30
    ask(world)
    assert 0 == state(world).due_in


def wait_for_the_pause_after_a_round(world: World):
    with transaction(world.engine) as connection:
        connection.execute(text(
            "UPDATE reconciliations SET finished_at = finished_at - interval '1 min', "
            "started_at = started_at - interval '1 min'"
        ))  # fmt: skip
