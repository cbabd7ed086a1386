"""The worker and the scheduler as processes: woken, swept, signalled, killed, and without their servers."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.integration.processes.site import SCHEDULER, Site, kill_server, paused, revive_server, terminate
from tests.servers import RunningServers, start_servers
from worker import catalog, db
from worker.broker import QUEUE
from worker.local.ports import PortPlan, free_port_base
from worker.local.stack import Part
from worker.pipeline.reading import image_lookup
from worker.types import ObjectRef


def migrated_url(servers: RunningServers) -> str:
    engine = db.connect(servers.database_url, name="test", pool_size=1)
    catalog.schema.migrate(engine)
    engine.dispose()
    return servers.database_url


def keys(count: int, name: str = "photo") -> list[str]:
    return [f"{name}-{number}.jpg" for number in range(count)]


class TestWakeUps:
    """One ring is enough, and none is needed."""

    def test_one_ring_empties_the_ledger(self, site: Site) -> None:
        """A full batch rings for the next one: twenty images at four a claim need one ring and no scheduler."""
        site.start()
        site.upload(*keys(20))
        assert site.until_enriched(20) < 8

    def test_work_from_before_the_start_is_found(self, site: Site) -> None:
        """A starting worker looks into the ledger before anybody wakes it."""
        site.upload(*keys(2), notify=False)
        site.start()
        assert site.until_enriched(2) < 8

    def test_the_scheduler_finds_work_that_nobody_rang_for(self, site: Site) -> None:
        """A hint whose ring was lost waits for one sweep at most."""
        site.start(ENRICH_SWEEP_SECONDS="600")  # this worker would not look by itself
        site.start(SCHEDULER)
        site.upload(*keys(2), notify=False)
        assert site.until_enriched(2) < 5

    def test_a_worker_finds_work_without_scheduler_and_ring(self, site: Site) -> None:
        """A worker that nobody wakes looks into the ledger by itself."""
        site.start()
        site.upload(*keys(9), notify=False)
        assert site.until_enriched(9) < 10

    def test_wake_ups_do_not_pile_up_while_nobody_listens(self, site: Site) -> None:
        """Rings are coalesced: at most one message every few seconds, whatever is uploaded."""
        for key in keys(30):
            site.upload(key)
        assert int(site.broker.llen(QUEUE)) <= 2


class TestSignals:
    """SIGTERM drains, SIGKILL costs a lease."""

    def test_sigterm_finishes_the_batch_in_hand(self, site: Site) -> None:
        """A batch in hand is written, later work is left, and the process says goodbye."""
        worker = site.start(ENRICH_CONCURRENCY="1", TEST_ENCODE_SECONDS="1.5")
        site.upload(*keys(8))
        site.until(lambda: site.totals().in_flight == 4)
        assert 0 == terminate(worker)
        totals = site.totals()
        assert (4, 4, 0, []) == (totals.enriched, totals.pending, totals.in_flight, site.processes())

    def test_sigterm_ends_an_idle_worker_within_seconds(self, site: Site) -> None:
        """Nothing in hand, nothing to wait for."""
        worker = site.start()
        assert 0 == terminate(worker, seconds=5)
        assert "Traceback" not in site.log(worker)

    def test_work_goes_on_after_sigkill(self, site: Site) -> None:
        """The dead worker's images are claimed again when its lease ends, each alone, and all are enriched."""
        worker = site.start(TEST_ENCODE_SECONDS="30")
        site.upload(*keys(4))
        site.until(lambda: site.totals().in_flight == 4)
        worker.kill()
        site.start()
        site.until_enriched(4)
        assert 0 == site.totals().quarantined

    def test_a_killed_workers_images_are_tried_again_within_seconds_of_its_leases_end(self, site: Site) -> None:
        """By whoever is alive: nothing waits for a broker to give messages back, which takes Redis minutes."""
        killed = site.start(TEST_ENCODE_SECONDS="60")
        site.upload(*keys(4))
        site.until(lambda: site.totals().in_flight == 4)
        site.start()
        killed.kill()
        assert site.until_enriched(4) < 2.0 + 15.0  # the lease, and the rest on a busy machine
        assert 0 == site.totals().quarantined

    def test_sigterm_gives_back_what_does_not_end(self, site: Site) -> None:
        """After ENRICH_DRAIN_SECONDS; uncounted, and to be had at once, not when the lease would have ended."""
        worker = site.start(TEST_ENCODE_SECONDS="120", ENRICH_DRAIN_SECONDS="1", ENRICH_LEASE_SECONDS="600")
        site.upload(*keys(4))
        site.until(lambda: site.totals().in_flight == 4)
        assert 0 == terminate(worker, seconds=1 + 19)
        assert (0, 4, [0] * 4) == (site.totals().in_flight, site.totals().pending, site.attempts())
        assert [] == site.processes()
        site.start()
        assert site.until_enriched(4) < 20

    def test_clocks_of_workers_do_not_matter(self, site: Site) -> None:
        """One is a day slow and one a day fast: a lease that is renewed holds, and one that is not ends in time."""
        slow = site.start(TEST_CLOCK_SECONDS="-86400", TEST_ENCODE_SECONDS="60", TEST_DEAF="1")  # takes one batch
        site.upload(*keys(4))
        site.until(lambda: site.totals().in_flight == 4)
        tokens = site.tokens()
        site.start(TEST_CLOCK_SECONDS="86400")
        site.upload(*keys(3, "other"))
        site.until_enriched(3)
        time.sleep(2.0)  # a lease
        assert tokens == site.tokens()
        slow.kill()
        assert site.until_enriched(7) < 2.0 + 15.0

    def test_a_paused_worker_changes_nothing_once_its_lease_is_lost(self, site: Site) -> None:
        """What a worker writes too late is refused by its token; every image is enriched exactly once."""
        late = site.start(TEST_ENCODE_SECONDS="1")
        site.upload(*keys(4))
        site.until(lambda: site.totals().in_flight == 4)
        with paused(late):
            site.start()
            site.until_enriched(4)
            versions = site.enriched_at()
        assert 0 == terminate(late)
        assert site.enriched_at() == versions


class TestBrokenDevice:
    """Only a new process can help."""

    def test_the_process_ends_and_leaves_its_claims(self, site: Site) -> None:
        """A device that broke ends the process with a status of its own; what it held is tried again by others."""
        worker = site.start(ENRICH_LEASE_SECONDS="30", TEST_BREAKS_ON_BLACK="1")
        site.upload("black.jpg", colour="black")
        assert 70 == worker.wait(20)
        assert 1 == site.totals().in_flight


class TestPoisonImage:
    """An image that ends every process that works on it."""

    @pytest.mark.parametrize(
        "how",
        [
            pytest.param("TEST_BREAKS_ON_BLACK", id="breaks the device"),
            pytest.param("TEST_CRASHES_ON_BLACK", id="is an access to memory that is not there"),
        ],
    )
    def test_it_costs_five_workers_and_is_the_only_image_lost(self, site: Site, how: str) -> None:
        """Restarted as often as a supervisor would, workers enrich the neighbours and quarantine the culprit."""
        site.upload(*keys(3), notify=False)
        site.upload("black.jpg", colour="black")
        assert 5 == self.deaths(site, {how: "1"})
        totals = site.totals()
        assert (3, 1, 0) == (totals.enriched, totals.quarantined, totals.pending)

    def deaths(self, site: Site, environment: dict[str, str]) -> int:
        """Of workers, one after the other, until nothing is pending."""

        def over(worker: subprocess.Popen[bytes]) -> bool:
            return worker.poll() is not None or site.totals().pending == 0

        for died in range(9):
            worker = site.start(wait=False, **environment)
            site.until(partial(over, worker), seconds=60)
            if worker.poll() is None:
                return died
        raise AssertionError("workers die for ever")


class TestWithoutBroker:
    """The broker only wakes: without it there is latency, and nothing else."""

    @pytest.fixture
    def ports(self) -> PortPlan:
        return PortPlan(base=free_port_base())

    @pytest.fixture
    def lonely(self, site: Site, ports: PortPlan) -> Site:
        """A site whose broker is not there yet."""
        return dataclasses.replace(site, broker_url=f"redis://127.0.0.1:{ports.valkey}/0", running=site.running)

    def test_work_is_done_while_the_broker_is_away(self, lonely: Site) -> None:
        """From the first start on: the ledger is all that is needed."""
        lonely.start()
        lonely.upload(*keys(6))
        assert lonely.until_enriched(6) < 10

    def test_a_broker_that_was_killed_and_comes_back_empty_is_used_again(
        self, site: Site, ports: PortPlan, tmp_path: Path
    ) -> None:
        """The worker goes on meanwhile, and answers wake-ups again afterwards."""
        with start_servers(tmp_path, [Part.BROKER], ports=ports) as first:
            here = dataclasses.replace(site, broker_url=first.broker_url, running=site.running)
            worker = here.start(ENRICH_SWEEP_SECONDS="2")
            here.upload(*keys(2, "before"))
            here.until_enriched(2)
            kill_server(first, "valkey")
            here.upload(*keys(2, "meanwhile"))
            assert here.until_enriched(4) < 12
            revive_server(first, "valkey")
            here.until(here.answers_rings, seconds=40)
        assert worker.poll() is None


class TestDeafness:
    """Workers have stopped consuming while every probe said that they were alive."""

    def test_a_deaf_worker_works_on_and_then_ends(self, site: Site) -> None:
        """Work is taken unwoken; a process that no ring reaches ends, so that its supervisor starts another."""
        worker = site.start(ENRICH_SWEEP_SECONDS="0.1", TEST_DEAF="1")
        for number in itertools.count(1):
            site.upload(f"photo-{number}.jpg")
            site.until(lambda: site.totals().pending == 0 or worker.poll() is not None)
            if worker.poll() is not None:
                break
        assert 75 == worker.wait(20)
        assert site.totals().enriched > 5

    def test_a_worker_that_a_reconnect_left_deaf_ends(self, site: Site, tmp_path: Path) -> None:
        """Valkey is restarted, the worker's consumer never comes back: it works on unwoken, then makes room."""
        ports = PortPlan(base=free_port_base())
        with start_servers(tmp_path, [Part.BROKER], ports=ports) as own:
            here = dataclasses.replace(site, broker_url=own.broker_url, running=site.running)
            worker = here.start(ENRICH_SWEEP_SECONDS="0.1", TEST_DEAF_AFTER_RECONNECT="1")
            here.upload("before.jpg")
            here.until_enriched(1)
            kill_server(own, "valkey")
            revive_server(own, "valkey")
            for number in itertools.count(1):
                here.upload(f"photo-{number}.jpg")
                here.until(lambda: here.totals().pending == 0 or worker.poll() is not None)
                if worker.poll() is not None:
                    break
            assert (75, True) == (worker.wait(20), "and none came" in here.log(worker))
            here.start()
            here.until(lambda: here.totals().pending == 0)


class TestWithoutDatabase:
    """The ledger is away: nothing can be done, nothing is lost."""

    def test_work_goes_on_when_the_database_is_back(self, site: Site, tmp_path: Path) -> None:
        """A batch in hand is written once the database is back; later work is found by the sweep."""
        with start_servers(tmp_path, [Part.DATABASE]) as own:
            here = dataclasses.replace(site, database_url=migrated_url(own), running=site.running)
            worker = here.start(ENRICH_LEASE_SECONDS="30", TEST_ENCODE_SECONDS="1")
            here.start(SCHEDULER)
            here.upload(*keys(3, "before"))
            here.until(lambda: here.totals().in_flight == 3)
            kill_server(own, "postgres")
            revive_server(own, "postgres")
            here.until_enriched(3)
            here.upload(*keys(3, "after"))
            here.until_enriched(6)
            assert worker.poll() is None
            assert "Traceback" not in here.log(worker)
            terminate(worker)

    def test_a_start_without_database_says_so(self, site: Site) -> None:
        """One sentence, not a traceback, and a status that supervisors take for failure."""
        nowhere = dataclasses.replace(site, database_url="postgresql://enrich@127.0.0.1:1/enrich", running=[])
        worker = nowhere.start(("-m", "worker", "worker"), wait=False)
        assert 1 == worker.wait(30)
        [sentence] = [line for line in nowhere.log(worker).splitlines() if line.startswith("enrich: ")]
        assert sentence.startswith("enrich: the database cannot be reached at postgresql://enrich@127")
        assert "Traceback" not in nowhere.log(worker)


def test_ledger_reads_what_the_worker_wrote(site: Site) -> None:
    """What a worker enriched is in the catalog with its tags."""
    site.start()
    site.upload("red.jpg")
    site.until_enriched(1)
    assert len(image_lookup.image(site.engine, ObjectRef(bucket=site.bucket, key="red.jpg")).tags) > 0
