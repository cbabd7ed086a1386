"""What `enrich evaluate` says about the shipped taxonomies with the starter, on labelled development photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.commands import enrich
from tests.integration.pipeline.evaluation.labelled_photos import TAXONOMIES, fill, write_csv
from tests.labelled_photos import PHOTOS
from worker.db import Engine

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no labelled photos beside the checkout ({PHOTOS.name})")


@pytest.fixture
def evaluated(engine: Engine, tmp_path: Path):
    """Runs the command on this test's database."""
    fill(engine)
    url = engine.url.render_as_string(hide_password=False)

    def run(taxonomy: str, *options: str) -> str:
        write_csv(tmp_path / f"{taxonomy}.csv", taxonomy)
        done = enrich(
            "evaluate", "--taxonomy", taxonomy, "--labels", f"{taxonomy}.csv", *options,
            cwd=tmp_path, ENRICH_DATABASE_URL=url, ENRICH_BUCKETS="photos", COLUMNS="80",
        )  # fmt: skip
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    return run


def test_the_command_measures_the_shipped_taxonomies(evaluated):
    """Of all photos so many have a tag, and so many of these are right; intervals count each scene once."""
    measured = {}
    for taxonomy in TAXONOMIES:
        [found] = json.loads(evaluated(taxonomy, "--json"))["taxonomies"]
        every = found["all_images"]
        measured[taxonomy] = every["right"], every["tagged"], every["images"]
        assert found["accuracy"]["low"] < found["accuracy"]["share"] <= found["accuracy"]["high"]
        assert ("file", found["scenes"]) == (found["design"], found["coverage"]["of"])
    # With the thresholds of today; `enrich tag` gives the same tags.
    assert {"time-of-day": (56, 57, 60), "setting": (43, 44, 47), "document-page": (65, 72, 117)} == measured


def test_the_table_fits_a_terminal(evaluated):
    """Of eighty columns; it says how the photos were chosen, and has accuracy beside coverage only."""
    table = evaluated("setting")
    assert 80 >= max(map(len, table.splitlines()))
    assert "labels of 47 images from setting.csv; how they were chosen is not known" in table
    assert "with near-duplicates: 44 of 47 images have a tag, and 43 of these are right" in " ".join(table.split())
