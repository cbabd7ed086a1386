"""A worker process whose model makes other vectors than its space was filled with."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from sqlalchemy import text

from tests.integration.processes.site import Site, terminate
from worker.db import transaction
from worker.pipeline.operations import health, system_status


def enrich(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", *arguments]
    return subprocess.run(command, env=site.environment(COLUMNS="2000"), capture_output=True, text=True, check=False)


def fill_the_space(site: Site) -> None:
    """By a worker that is sound, and gone by then."""
    terminate(site.start())
    with transaction(site.engine) as connection:
        connection.execute(text("DELETE FROM processes"))  # under load it may be ended before it can say goodbye


@pytest.mark.parametrize(
    ("altered", "difference"),
    [
        ("encoder", "the vector of blocks.png differs (cosine 0."),
        ("preprocessing", "blocks.png is preprocessed differently (by "),
    ],
)
def test_an_altered_worker_ends_before_it_writes_and_says_why(site: Site, altered: str, difference: str) -> None:
    """In its log, its exit status, `enrich status` and `enrich health`; the next sound worker does the work."""
    fill_the_space(site)
    site.upload("a.jpg")
    refused = site.start(wait=False, TEST_ALTERED=altered, ENRICH_MODEL="starter")
    assert 1 == refused.wait(60), "the fake raises what `enrich worker` turns into 78"
    assert difference in site.log(refused)
    assert 1 == site.totals().pending
    health_ = enrich(site, "health", "worker")
    assert (1, True) == (health_.returncode, "refused to start: " in health_.stderr)
    for said in (health_.stderr, enrich(site, "status").stdout, "".join(health.refusals(site.engine))):
        assert difference in said
        assert "enrich space check 1 --accept" in said
    site.start()
    site.until_enriched(1)
    assert [] == [each.refused for each in system_status.overview(site.engine).processes if each.refused]
    assert health.problem(site.engine, kind="worker", host=socket.gethostname()) is None


def test_a_worker_that_is_started_over_and_over_leaves_one_word(site: Site) -> None:
    """A supervisor that does not know the exit status starts it every few seconds, for days."""
    fill_the_space(site)
    for _ in range(2):
        site.start(wait=False, TEST_ALTERED="encoder").wait(60)
    assert 1 == len(site.processes())
