"""``enrich bucket`` on a real ledger."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.commands import enrich
from tests.ledger import hints
from worker import ledger
from worker.db import Engine, transaction


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `enrich bucket` on this test's database; the broker is away."""
    url = engine.url.render_as_string(hide_password=False)
    servers = {"ENRICH_DATABASE_URL": url, "ENRICH_BROKER_URL": "redis://127.0.0.1:1/0"}
    watching = {"ENRICH_BUCKETS": "photos"}
    return lambda *arguments, **env: enrich("bucket", *arguments, cwd=tmp_path, **{**servers, **watching, **env})


def test_a_missing_bucket_is_seen_and_dropped(engine, run):
    """And is said to be gone from then on; one that the store has is refused with a sentence."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg"))
        ledger.buckets.buckets_missing(connection, ["photos"], endpoint="http://store.example")
    assert "missing for" in run("list").stdout
    dropped = run("drop", "photos")
    assert (0, True) == (
        dropped.returncode,
        "workers remove its objects once they have confirmed that these are gone" in " ".join(dropped.stderr.split()),
    )
    [listed] = json.loads(run("list", "--json").stdout)
    assert ("photos", True) == (listed["name"], listed["gone_at"] is not None)
    with transaction(engine) as connection:
        ledger.buckets.buckets_found(connection, ["photos"], endpoint="http://store.example")
    refused = run("drop", "photos")
    assert (1, True) == (refused.returncode, "photos: the store has this bucket" in " ".join(refused.stderr.split()))


def test_a_bucket_that_is_not_watched_is_shown_as_such(engine, run):
    """No worker would ask the store for its objects, so it cannot be dropped before it is named again."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg"))
    assert "not watched (ENRICH_BUCKETS)" in run("list", ENRICH_BUCKETS="other").stdout
    refused = run("drop", "photos", ENRICH_BUCKETS="other")
    assert (1, True) == (refused.returncode, "add photos to have it read" in " ".join(refused.stderr.split()))
