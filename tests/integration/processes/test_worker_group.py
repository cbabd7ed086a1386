"""Several worker processes of one command: drained together, replaced one by one, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.integration.processes.site import Site, terminate

NAMES = [f"photo-{number}.jpg" for number in range(8)]


def start(site: Site, **env: str) -> subprocess.Popen[bytes]:
    """A crew of two, both at work."""
    group = site.start(wait=True, ENRICH_PROCESSES="2", ENRICH_CONCURRENCY="1", **env)
    site.until(lambda: len(site.processes()) == 2, seconds=60)
    return group


def members(site: Site) -> set[int]:
    """Process ids of those that have reported and not said goodbye."""
    return {int(each.name.rpartition(":")[2]) for each in site.processes()}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def both_busy(site: Site) -> None:
    """A batch in the hands of each."""
    site.upload(*NAMES)
    site.until(lambda: site.totals().in_flight == 8)


def test_sigterm_drains_all(site: Site) -> None:
    """Every member's batch is written, nothing is left in flight, and all say goodbye."""
    group = start(site, TEST_ENCODE_SECONDS="1.5")
    both_busy(site)
    assert 0 == terminate(group, seconds=60)
    totals = site.totals()
    assert (8, 0, 0, []) == (totals.enriched, totals.pending, totals.in_flight, site.processes())


def test_a_member_that_is_killed_is_replaced_while_the_other_goes_on(site: Site) -> None:
    """Its batch is tried again when the lease ends; the survivor is the same process as before. Ctrl-C drains, too."""
    group = start(site, TEST_ENCODE_SECONDS="1")
    before = members(site)
    both_busy(site)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    site.until_enriched(8)
    site.until(lambda: len(members(site) - {killed}) == 2)
    [survivor] = before - {killed}
    assert (True, None, 0) == (is_running(survivor), group.poll(), site.totals().quarantined)
    group.send_signal(signal.SIGINT)
    assert 0 == group.wait(60)


def test_under_nohup_the_end_of_a_terminal_ends_nobody(site: Site) -> None:
    """Who ignores SIGHUP before the command starts wants it to go on; SIGTERM still ends it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        group = start(site, TEST_ENCODE_SECONDS="1")
    finally:
        signal.signal(signal.SIGHUP, before)
    both = members(site)
    group.send_signal(signal.SIGHUP)
    both_busy(site)
    site.until_enriched(8)
    assert (None, both) == (group.poll(), members(site))
    assert 0 == terminate(group, seconds=60)


def test_a_crew_that_is_killed_leaves_nobody_behind(site: Site) -> None:
    """Its members finish what they have in hand, as on SIGTERM, and end."""
    group = start(site, TEST_ENCODE_SECONDS="1")
    left = members(site)
    both_busy(site)
    group.kill()
    site.until(lambda: not any(map(is_running, left)))
    totals = site.totals()
    assert (8, 0, []) == (totals.enriched, totals.in_flight, site.processes())


def test_a_device_that_breaks_costs_one_member(site: Site) -> None:
    """The others' devices are contexts of their own; the crew goes on with a new process, until its terminal closes."""
    group = start(site, TEST_BREAKS_ON_BLACK="1", ENRICH_LEASE_SECONDS="60")
    before = members(site)
    site.upload("black.jpg", colour="black")
    site.until(lambda: len(members(site) - before) >= 1)
    assert (True, None) == (any(map(is_running, before)), group.poll())
    assert "died (exit status 70)" in site.log(group)
    group.send_signal(signal.SIGHUP)
    assert 0 == group.wait(60)


def test_what_no_restart_can_mend_ends_all(site: Site) -> None:
    """The command says it in a sentence, once for each member at most, and ends as a single worker would."""
    group = site.start(
        ("-m", "worker", "worker", "--processes", "2"),
        wait=False,
        ENRICH_DATABASE_URL="postgresql://enrich@127.0.0.1:1/enrich",
    )
    assert 1 == group.wait(120)
    assert "the database cannot be reached" in site.log(group)
    assert "Traceback" not in site.log(group)
