"""When the death of a worker is evidence against an image, and how much of it is enough."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.integration.pipeline.conftest import World
from tests.ledger import expire_leases, make_due, pending, ref, row
from tests.pictures import picture
from worker import ledger
from worker.db import transaction
from worker.errors import StoreUnavailableError
from worker.ledger.quarantine import QuarantineSelection
from worker.pipeline.enrichment.poison_images import EXPOSED_DEATHS
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.types import Outcome


class DiedError(BaseException):
    """As SIGKILL: nothing of ours catches it, and the claim stays."""


def die(*_args: object, **_named: object) -> None:
    raise DiedError


def run_until_death(world: World) -> None:
    with pytest.raises(DiedError):
        world.run()
    expire_leases(world.engine)


def killed_from_outside(world: World) -> None:
    """A worker is killed right after it claimed whatever is first in line."""
    with transaction(world.engine) as connection:
        assert ledger.claims.claim(connection, worker="doomed", size=8, lease=60) is not None
    expire_leases(world.engine)


def deaths(world: World, key: str) -> tuple[int, int]:
    """Of workers: all, and those that are evidence."""
    found = row(world.engine, key)
    return found.deaths, found.exposed_deaths


@pytest.fixture(autouse=True)
def _no_renewals(monkeypatch):
    """One that is under way when a worker "dies" here would give the lease a new end after it was taken away."""
    monkeypatch.setattr(Heartbeat, "_renew", lambda _: None)


@pytest.fixture
def deadly(world: World):
    """A world in which decoding the blue picture ends the process, on its way among others."""
    preprocess = world.encoder.preprocess
    world.upload("killer.jpg", picture("blue"))
    for key in ("b.jpg", "c.jpg"):
        world.upload(key, picture("red"))

    def kill_on_blue(image):
        if image.getpixel((0, 0))[2] > 200:
            raise DiedError
        return preprocess(image)

    world.encoder.preprocess = kill_on_blue
    return world


@pytest.fixture
def lone_killer(deadly):
    """The same, without neighbours, after two workers have died: one of them at work on it alone."""
    with transaction(deadly.engine) as connection:
        connection.execute(text("DELETE FROM inbox WHERE key <> 'killer.jpg'"))
    assert 2 == work_until(deadly, deaths=2)
    return deadly


def work_until(world: World, *, deaths: int) -> int:
    """Start a worker again whenever it dies, until so many have, or nothing is left to do; returns how many did."""
    died = 0
    while died < deaths and pending(world.engine):
        try:
            assert world.run() is not None
        except DiedError:
            died += 1
            expire_leases(world.engine)
    return died


def work_to_the_end(world: World) -> int:
    """Returns how many workers died on the way."""
    return work_until(world, deaths=100)


class TestInnocent:
    """Whatever happens to workers, images do not pay for it."""

    def test_deaths_at_any_other_moment_are_no_evidence(self, world: World):
        """Killed eleven times with the image in hand, before its bytes were touched: it is enriched as any other."""
        world.upload("a.jpg", picture())
        for _ in range(11):
            killed_from_outside(world)
        assert ({Outcome.ENRICHED: 1}, {}) == (world.run(), world.quarantine())

    def test_waiting_for_the_store_is_no_exposure(self, world: World):
        """A store that stalls keeps an image in hand for long, and gives a killer from outside much time."""
        world.upload("a.jpg", picture())
        killed_from_outside(world)
        get, world.store.get = world.store.get, die
        for _ in range(5):
            run_until_death(world)
        world.store.get = get
        assert (5, 0) == deaths(world, "a.jpg")
        assert {Outcome.ENRICHED: 1} == world.run()

    def test_deaths_use_up_no_tries(self, world: World):
        """After more deaths than an image has tries, its first transient error is still its first."""
        world.upload("a.jpg", picture())
        for _ in range(5):
            killed_from_outside(world)
        world.encoder.preprocess, working = lambda _: 1 / 0, world.encoder.preprocess
        assert {Outcome.RETRY: 1} == world.run()
        world.encoder.preprocess = working
        make_due(world.engine)
        assert {Outcome.ENRICHED: 1} == world.run()

    def test_one_that_survives_in_the_end_is_enriched(self, world: World):
        """Killed at work on its bytes, one time fewer than is enough: it is enriched, and its record is clean."""
        world.upload("a.jpg", picture())
        killed_from_outside(world)
        world.encoder.preprocess, working = die, world.encoder.preprocess
        for _ in range(EXPOSED_DEATHS - 1):
            run_until_death(world)
        world.encoder.preprocess = working
        assert ({Outcome.ENRICHED: 1}, {}) == (world.run(), world.quarantine())
        assert (0, 0) == deaths(world, "a.jpg")

    def test_neighbours_of_a_killer_are_enriched(self, deadly):
        """They lose a moment, and nothing else."""
        work_to_the_end(deadly)
        assert {"killer.jpg": "killed-worker"} == deadly.quarantine()
        assert {"colour": "red"} == deadly.tags("b.jpg") == deadly.tags("c.jpg")


class TestGuilty:
    """An image that kills is found, at a bounded price."""

    def test_it_costs_five_workers(self, deadly):
        """One dies with all, and as many as are enough with it alone; its neighbours are enriched."""
        assert 1 + EXPOSED_DEATHS == 5 == work_to_the_end(deadly)
        [entry] = deadly.quarantined()
        assert ("killer.jpg", "killed-worker") == (entry.key, entry.reason)
        assert f"{EXPOSED_DEATHS} worker processes died" in entry.message

    def test_its_bytes_are_known(self, deadly):
        """So that a person can look at them, and comparing notices a good file in their place."""
        work_to_the_end(deadly)
        [entry] = deadly.quarantined()
        stored = deadly.store.head(ref("killer.jpg"))
        assert (stored.etag, stored.size) == (entry.etag, entry.size)
        assert entry.first_bytes.startswith(b"\xff\xd8")

    @pytest.mark.parametrize("again", ["a second event", "a person"])
    def test_a_killer_that_comes_back_costs_fewer_workers(self, lone_killer, again):
        """Stores send events twice, and people retry: that it killed before counts as one death."""
        work_to_the_end(lone_killer)
        if again == "a person":
            with transaction(lone_killer.engine) as connection:
                ledger.quarantine.retry(connection, QuarantineSelection(), limit=10)
        else:
            lone_killer.hint("killer.jpg", "b.jpg")
        assert EXPOSED_DEATHS - 1 == work_to_the_end(lone_killer)
        assert {"killer.jpg": "killed-worker"} == lone_killer.quarantine()

    def test_a_good_file_in_its_place_clears_it(self, lone_killer):
        """It is enriched as any other, and nothing is held against it afterwards."""
        work_to_the_end(lone_killer)
        lone_killer.upload("killer.jpg", picture("red"))
        assert ({Outcome.ENRICHED: 1}, {}) == (lone_killer.run(), lone_killer.quarantine())
        assert (0, 0) == deaths(lone_killer, "killer.jpg")

    def test_an_outage_does_not_clear_it(self, lone_killer):
        """An outage sends a suspect back among others; deaths with it go on counting."""
        lone_killer.store.fail(ref("killer.jpg"), StoreUnavailableError("503"))
        assert {Outcome.RETRY: 1} == lone_killer.run()
        lone_killer.store.fail(ref("killer.jpg"), None)
        lone_killer.upload("d.jpg", picture("red"))
        lone_killer.time_passes()
        assert EXPOSED_DEATHS - 1 == work_to_the_end(lone_killer)
        assert {"killer.jpg": "killed-worker"} == lone_killer.quarantine()

    def test_one_that_kills_while_it_is_read_is_found_in_the_end(self, world: World):
        """Reading runs no code of the image's, so nobody is blamed for it; but not for ever."""
        world.upload("a.jpg", picture())
        get, world.store.get = world.store.get, die
        for _ in range(12 + EXPOSED_DEATHS):
            run_until_death(world)
        world.store.get = get
        assert {Outcome.QUARANTINED: 1} == world.run()
        assert {"a.jpg": "killed-worker"} == world.quarantine()


class TestExposure:
    """What is written down before the bytes are touched."""

    def test_an_ordinary_image_costs_no_statement(self, world: World):
        """Only suspects are exposed."""
        world.upload("a.jpg", picture())
        world.run()
        assert row(world.engine, "a.jpg").exposed is None

    def test_a_suspect_whose_lease_was_lost_is_not_touched(self, world: World):
        """Somebody else has it by now: a death here would be nobody's evidence."""
        world.upload("a.jpg", picture())
        killed_from_outside(world)
        get = world.store.get

        def lose_it(*args, **named):
            expire_leases(world.engine)
            with transaction(world.engine) as connection:
                ledger.claims.claim(connection, worker="other", size=1, lease=60)
            return get(*args, **named)

        world.store.get, world.encoder.preprocess = lose_it, die
        assert {} == world.run()
        assert "other" == row(world.engine, "a.jpg").worker

    def test_a_database_that_is_away_burns_no_attempt(self, world: World, monkeypatch):
        """The suspect is given back, and the breaker waits."""
        world.upload("a.jpg", picture())
        killed_from_outside(world)

        def away(*_):
            raise OperationalError("UPDATE", {}, Exception("server closed the connection"))

        with monkeypatch.context() as patch:
            patch.setattr(ledger.claims, "expose", away)
            assert world.run() is None
        assert world.enricher.breakers.database.is_open or row(world.engine, "a.jpg").token is None
        assert {} == world.quarantine()

    def test_a_death_after_an_orderly_return_is_no_evidence(self, world: World):
        """Exposed, given back, claimed again and killed before it was touched: that is a death, and nothing more."""
        world.upload("a.jpg", picture())
        with transaction(world.engine) as connection:
            taken = ledger.claims.claim(connection, worker="drains", size=1, lease=60)
            assert taken is not None
            assert ledger.claims.expose(connection, taken.token, taken.objects[0].id)
            ledger.completion.release(connection, [taken.token])
        killed_from_outside(world)
        killed_from_outside(world)
        assert 0 == row(world.engine, "a.jpg").exposed_deaths
