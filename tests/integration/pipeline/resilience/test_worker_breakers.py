"""Pausing instead of burning attempts: the store away, one object away, and a release that refuses everything."""

from __future__ import annotations

import re
import time

import pytest
import urllib3

from tests.integration.pipeline.conftest import World
from tests.ledger import pending, ref, row
from tests.pictures import picture
from worker import images, ledger, metrics
from worker.db import transaction
from worker.errors import AccessDeniedError, ImageRejectedError, ObjectArchivedError, StoreUnavailableError
from worker.types import Lane, Outcome, Reason

_AWAY = StoreUnavailableError("503 Slow Down")


def upload(world: World, *keys: str) -> None:
    for key in keys:
        world.upload(key, picture())


def break_store(world: World, *keys: str) -> None:
    for key in keys:
        world.store.fail(ref(key), _AWAY)


def mend_store(world: World, *keys: str) -> None:
    for key in keys:
        world.store.fail(ref(key), None)


def names(count: int, name: str) -> list[str]:
    return [f"{name}-{number:02}.jpg" for number in range(count)]


def finish(world: World, *, rounds: int = 40) -> None:
    """Work on until nothing is pending, letting time pass where a worker would wait."""
    for _ in range(rounds):
        if not pending(world.engine):
            return
        if world.run() is None:
            world.time_passes()
    raise AssertionError(f"{pending(world.engine)} objects are still pending")


def _open_breakers(port: int, breaker: str) -> list[str]:
    page = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=5).data.decode()
    return [
        value.removesuffix(".0") for value in re.findall(rf'enrich_breaker_open{{breaker="{breaker}"}} (\S+)', page)
    ]


class TestStoreAway:
    """A store that answers nobody is asked less and less, and no object pays for it."""

    KEYS = names(8, "photo")

    def test_the_rest_of_a_batch_is_not_tried(self, world: World):
        """With a stalling store each try costs a time-out: after five failures, only what had begun ends."""
        upload(world, *self.KEYS)
        break_store(world, *self.KEYS)
        world.run()
        assert 5 <= len(world.store.gets) <= 8
        assert world.enricher.breakers.store.is_open

    def test_nothing_is_claimed_during_a_pause(self, world: World):
        """No request, no claim, no attempt."""
        upload(world, *self.KEYS)
        break_store(world, *self.KEYS)
        world.run()
        before = len(world.store.gets)
        upload(world, "fresh.jpg")
        assert (None, before) == (world.run(), len(world.store.gets))
        assert {0} == {row(world.engine, key).attempts for key in (*self.KEYS, "fresh.jpg")}

    def test_a_try_takes_the_oldest_and_the_newest_of_each_lane(self, world: World):
        """What is first in line may be what never works, and so may what came with it."""
        upload(world, *self.KEYS)
        break_store(world, *self.KEYS)
        world.run()
        upload(world, *names(3, "live"))
        for key in names(3, "old"):
            world.store.put(ref(key), picture(), "image/jpeg")
        world.hint(*names(3, "old"), lane=Lane.BACKFILL)
        world.time_passes()
        before = len(world.store.gets)
        assert {Outcome.ENRICHED: 4, Outcome.RETRY: 2} == world.run()
        tried = {each.key for each in world.store.gets[before:]}
        assert {"live-00.jpg", "live-02.jpg"} == {key for key in tried if key.startswith("live")}

    def test_everything_is_enriched_once_the_store_is_back(self, world: World):
        """After one answer; however long it took, no attempt was burnt."""
        upload(world, *self.KEYS)
        break_store(world, *self.KEYS)
        for _ in range(10):
            world.run()
            world.time_passes()
        assert {0} == {row(world.engine, key).attempts for key in self.KEYS}
        mend_store(world, *self.KEYS)
        finish(world)
        assert all(world.image(key) for key in self.KEYS)
        assert not world.enricher.breakers.store.is_open

    def test_the_page_of_metrics_says_so_while_it_lasts(self, world: World):
        """Alerts look at `enrich_breaker_open`: 1 from the failure that opens it until work goes on again, else 0."""
        server = metrics.serve(0)
        try:
            assert ["0"] == _open_breakers(server.port, "store")
            upload(world, *self.KEYS)
            break_store(world, *self.KEYS)
            world.run()
            assert (["1"], ["0"]) == (_open_breakers(server.port, "store"), _open_breakers(server.port, "quarantine"))
            mend_store(world, *self.KEYS)
            finish(world)
            assert ["0"] == _open_breakers(server.port, "store")
        finally:
            server.close()

    def test_it_is_said_in_the_heartbeat(self, world: World):
        """So that `enrich status` shows it for the whole fleet, and why work is tried again."""
        upload(world, *self.KEYS)
        break_store(world, *self.KEYS)
        world.run()
        deadline = time.monotonic() + 10
        waiting = None
        while waiting is None and time.monotonic() < deadline:
            time.sleep(0.05)
            with transaction(world.engine) as connection:
                [process], retrying = ledger.heartbeats.processes(connection), ledger.totals.retry_totals(connection)
            waiting = process.waiting
        assert "the object store cannot be read" in (waiting or "")
        assert [("store-away", 8)] == [(each.reason, each.objects) for each in retrying]

    def test_a_refusal_is_an_answer(self, world: World):
        """A bucket that denies access holds up nobody."""
        for number in range(6):
            key = f"denied-{number}.jpg"
            upload(world, key)
            world.store.fail(ref(key), AccessDeniedError(ref(key)))
        world.run()
        assert not world.enricher.breakers.store.is_open


class TestOneObjectAway:
    """The store answers for others: then it is the object."""

    def test_its_attempts_count_until_it_is_quarantined(self, world: World):
        """It neither circulates for ever nor holds up its neighbours."""
        upload(world, "lost.jpg")
        break_store(world, "lost.jpg")
        for number in range(3):
            upload(world, f"good-{number}.jpg")
            world.run()
            world.time_passes()
        assert {"lost.jpg": "attempts-exhausted"} == world.quarantine()
        assert all(world.image(f"good-{number}.jpg") for number in range(3))

    def test_an_archived_object_is_quarantined_at_once_and_its_entry_is_kept(self, world: World):
        """Only somebody who restores it can help; what is known about it is still true."""
        upload(world, "cold.jpg")
        world.run()
        world.store.fail(ref("cold.jpg"), ObjectArchivedError("archived"))
        world.hint("cold.jpg")
        assert {Outcome.QUARANTINED: 1} == world.run()
        assert {"cold.jpg": "archived"} == world.quarantine()
        assert {"colour": "red"} == world.tags("cold.jpg")


class TestTooMuchIsRefused:
    """A bad release and a folder of broken files look the same, until known images are tried again."""

    @pytest.fixture(autouse=True)
    def _watching(self, world: World) -> None:
        world.set_quarantine_ratio(0.5)

    def test_a_bad_release_quarantines_little_and_everything_is_enriched_after_it(self, world: World, monkeypatch):
        """What is refused is held back uncounted, and goes through once images pass again."""
        upload(world, *names(4, "before"))
        world.run()

        def refuse(*_args, **_options):
            raise ImageRejectedError(Reason.CORRUPT, "this release is wrong")

        with monkeypatch.context() as patch:
            patch.setattr(images, "read_image", refuse)
            upload(world, *names(40, "photo"))
            for _ in range(30):
                world.run()
                world.time_passes()
            assert len(world.quarantine()) <= 8
            held = [row(world.engine, key) for key in names(40, "photo") if key not in world.quarantine()]
            assert {0} == {each.attempts for each in held}
            assert "held-back" in {each.retry_reason for each in held}
            assert "4 of 4 images that were enriched before are refused now" in (
                world.enricher.breakers.waiting() or ""
            )
        finish(world)
        assert 40 == len(world.quarantine()) + sum(world.image(key) is not None for key in names(40, "photo"))
        assert not world.enricher.breakers.quarantine.is_open

    def test_meanwhile_work_goes_on_at_a_trickle(self, world: World):
        """Two of a lane at a time: the archive is not read in vain."""
        for key in names(30, "broken"):
            world.upload(key, b"rubbish")
        while not world.enricher.breakers.quarantine.is_open:
            world.run()
        before = len(world.store.gets)
        world.time_passes()
        world.run()
        assert len(world.store.gets) - before in range(2, 5)  # of the live and of the retry lane
        assert (None, len(world.store.gets)) == (world.run(), len(world.store.gets))

    def test_a_folder_of_broken_files_is_quarantined_without_anybody_being_asked(self, world: World):
        """Known images pass, so the files are to blame; good uploads are enriched meanwhile."""
        upload(world, *names(4, "before"))
        world.run()
        for key in names(40, "broken"):
            world.upload(key, b"rubbish")
        upload(world, "good.jpg")
        finish(world)
        assert set(names(40, "broken")) == set(world.quarantine())
        assert world.image("good.jpg") is not None

    def test_in_an_empty_catalog_good_uploads_get_through_and_settle_it(self, world: World):
        """With nothing to compare with, broken files wait; the first few good images show that we are not at fault."""
        for key in names(30, "broken"):
            world.upload(key, b"rubbish")
        for _ in range(10):
            world.run()
            world.time_passes()
        held = pending(world.engine)
        assert held > 0
        upload(world, *names(3, "good"))
        finish(world)
        assert set(names(30, "broken")) == set(world.quarantine())

    def test_refusals_by_the_store_are_no_sign_of_a_bad_release(self, world: World):
        """A bucket that denies access is quarantined as such."""
        for key in names(20, "denied"):
            upload(world, key)
            world.store.fail(ref(key), AccessDeniedError(ref(key)))
        finish(world)
        assert {"access-denied"} == set(world.quarantine().values())
