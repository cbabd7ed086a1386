"""``enrich verify`` as people and cron jobs run it: what it prints where, and its exit statuses."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from contextlib import suppress

import pytest

from tests.acceptance.commands import ENRICH
from tests.bad_store import bad_store
from tests.integration.processes.site import Site
from worker.types import ObjectRef


def verify(site: Site, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ENRICH, "verify", *arguments],
        env=site.environment(**env),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def lossy(site: Site) -> Site:
    """A bucket with an object that is pending, and one that nobody was told of, whose key means harm to terminals."""
    site.upload("in/known.jpg", notify=False)
    site.store.put(ObjectRef(bucket=site.bucket, key="in/\x1b[2J\nlost.jpg"), b"bytes", "image/jpeg")
    return site


def test_the_equation_is_printed_with_every_difference_and_repaired(lossy: Site) -> None:
    """Status 1 and a line for the difference; --repair says what it did; then status 0; twice does no harm."""
    bucket = lossy.bucket
    first, repairing = verify(lossy, bucket, "--prefix", "in/"), verify(lossy, f"{bucket}/in/", "--repair")
    assert (1, 1) == (first.returncode, repairing.returncode)
    difference, equation, summary = first.stdout.splitlines()
    assert r"missing    in/\x1b[2J\nlost.jpg  (listed, but neither enriched nor refused)" == difference
    assert "2 listed ≠ 0 enriched + 0 excluded + 0 quarantined + 1 pending" == equation
    assert "1 missing, 0 incomplete, 0 stale, 0 ghosts" == summary
    assert "oldest pending: " in first.stderr
    assert "1 are now pending" in repairing.stderr
    done = verify(lossy, bucket, "--repair", "--json")
    found = json.loads(done.stdout)["verification"]
    assert (0, True, 2, 2, 0) == (
        done.returncode,
        found["holds"],
        found["listed"],
        found["pending"],
        found["repaired"],
    )


def test_what_cannot_be_compared_proves_nothing(site: Site) -> None:
    """No bucket, no store, no database: status 3 and one sentence each, never a yes or a no."""
    cases = [
        verify(site, "no-such-bucket-here"),
        verify(site, site.bucket, ENRICH_S3_ENDPOINT_URL="http://127.0.0.1:1"),
        verify(site, site.bucket, ENRICH_DATABASE_URL="postgresql://enrich@127.0.0.1:1/enrich"),
    ]
    assert [3, 3, 3] == [done.returncode for done in cases]
    assert all(done.stderr.startswith("enrich: nothing is proved: ") for done in cases)
    assert ["", "", ""] == [done.stdout for done in cases]


@pytest.mark.parametrize(
    ("listing", "sentence"),
    [
        ("no-token", "it says that there are more objects (IsTruncated), and not where"),
        ("same-page", "the same page came twice"),
        ("redirect", "the store redirects to https://"),
    ],
)
def test_a_listing_that_leads_nowhere_proves_nothing(site: Site, listing: str, sentence: str) -> None:
    """One sentence and status 3: no traceback, and no comparison that never ends."""
    with bad_store() as store:
        for name in "abc":
            store.put(site.bucket, f"{name}.jpg", b"x")
        store.listing = listing
        done = verify(site, site.bucket, ENRICH_S3_ENDPOINT_URL=store.url)
    assert (3, True) == (done.returncode, sentence in " ".join(done.stderr.split()))
    assert "Traceback" not in done.stderr


def test_a_wrong_command_line_is_status_2(site: Site) -> None:
    """A prefix is given once."""
    assert 2 == verify(site, f"{site.bucket}/a", "--prefix", "b").returncode


def test_an_interrupt_proves_nothing(lossy: Site) -> None:
    """Ctrl-C while it waits for what may be on its way: status 130, and it says so."""
    process = subprocess.Popen(
        [ENRICH, "verify", lossy.bucket],
        env=lossy.environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    lossy.until(lambda: any_connection(lossy))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert 130 == process.returncode, said
    assert "interrupted: nothing is proved" in said


def any_connection(site: Site) -> bool:
    from sqlalchemy import text

    with site.engine.connect() as connection:
        asked = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'enrich cli'")
        return bool(connection.execute(asked).scalar_one())


def test_a_reader_that_hangs_up_hears_no_verdict(lossy: Site) -> None:
    """`enrich verify … | head` has not been told everything: neither 0 nor 1."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [ENRICH, "verify", lossy.bucket],
        env=lossy.environment(),
        stdout=writing,
        stderr=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )
    os.close(writing)
    assert 3 == done.returncode


def test_results_go_into_the_pipe_while_a_person_watches_the_bar(lossy: Site) -> None:
    """Stdout is a pipe and stderr a terminal: differences are data, the bar is for eyes."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [ENRICH, "verify", lossy.bucket],
        env=lossy.environment(TERM="xterm", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end closes
        while part := os.read(terminal, 65_536):
            shown += part
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    process.wait(60)
    process.stdout.close()
    os.close(terminal)
    assert "objects compared" in shown.decode()
    assert "lost.jpg" in printed
    assert "lost.jpg" not in shown.decode()
    assert "compared" not in printed
