"""How many images have each label, over real HTTP and by the command, on a real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.factories import enriched_image
from worker import catalog
from worker.cli import app
from worker.db import transaction

BY_LABEL = {"day": 1, "night": 1}


def counted(answer) -> dict[str, int]:
    [found] = answer.json["taxonomies"]
    return {each["label"]: each["images"] for each in found["labels"]}


def test_images_are_counted_by_label(api, gallery):
    """Most images first, then by name; those that nobody could decide stand apart."""
    assert {
        "taxonomies": [
            {
                "taxonomy": "time-of-day",
                "labels": [{"label": "day", "images": 1}, {"label": "night", "images": 1}],
                "left_out": 0,
                "undecided": 1,
            }
        ],
        "exact": True,
    } == api.get("/v1/label-counts").json


def test_a_catalog_without_images_has_no_counts(api):
    """Which is no error."""
    assert {"taxonomies": [], "exact": True} == api.get("/v1/label-counts").json


@pytest.mark.parametrize(
    ("query", "expected", "undecided"),
    [
        ("bucket=photos&prefix=2026/", {"night": 1}, 0),
        ("bucket=photos", BY_LABEL, 1),
        ("taxonomy=time-of-day&source=zero-shot", BY_LABEL, 1),
        ("limit=1", {"day": 1}, 1),
    ],
)
def test_filters(api, gallery, query, expected, undecided):
    """All that are given must hold."""
    answer = api.get(f"/v1/label-counts?{query}")
    [found] = answer.json["taxonomies"]
    assert (expected, undecided) == (counted(answer), found["undecided"])
    assert found["left_out"] == (1 if query == "limit=1" else 0)


@pytest.mark.parametrize("query", ["source=human", "bucket=photos&prefix=2027/"])
def test_nothing_matches(api, gallery, query):
    """Nothing to count."""
    assert [] == api.get(f"/v1/label-counts?{query}").json["taxonomies"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("taxonomy=time-of-dya", "did you mean 'time-of-day'"),
        ("bucket=photo", "unknown bucket 'photo'"),
        ("prefix=2026/", "name the bucket"),
        ("limit=0", "limit"),
    ],
)
def test_what_is_unknown_is_refused(api, gallery, query, says):
    """With the nearest valid choice."""
    answer = api.get(f"/v1/label-counts?{query}")
    assert (422, True) == (answer.status, says in answer.detail)


def test_a_person_decides_in_place_of_the_model(api, engine, gallery):
    """The image is counted once, with what the person said; `source` tells them apart."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'time-of-day', 'v', 'night', 'human' FROM images WHERE key IN ('red.jpg', 'blue.jpg')"
            )
        )
    answer = api.get("/v1/label-counts")
    assert ({"night": 3}, 0) == (counted(answer), answer.json["taxonomies"][0]["undecided"])
    assert {"night": 2} == counted(api.get("/v1/label-counts?source=human"))
    assert {"night": 1} == counted(api.get("/v1/label-counts?source=zero-shot"))


def test_very_many_tags_are_estimated(api, engine, enriched, monkeypatch):
    """From a part of the table's pages, and the answer says so; a place with few images stays exact."""
    enriched(*(enriched_image(f"{n % 2}/{n:04}.jpg", label="day" if n % 4 else "night") for n in range(2_000)))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE tags"))
    assert (True, {"day": 1_500, "night": 500}) == (
        api.get("/v1/label-counts").json["exact"],
        counted(api.get("/v1/label-counts")),
    )
    monkeypatch.setattr(catalog.label_counts, "COUNTED", 1_000)
    found = api.get("/v1/label-counts")
    assert found.json["exact"] is False
    assert counted(found) == {"day": pytest.approx(1_500, rel=0.5), "night": pytest.approx(500, rel=0.5)}
    exact = api.get("/v1/label-counts?bucket=photos&prefix=0/")
    assert (True, {"day": 500, "night": 500}) == (exact.json["exact"], counted(exact))


def test_the_command_prints_them(engine, gallery, monkeypatch, tmp_path):
    """A table for people; with --json what the API answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "ENRICH_DATABASE_URL", engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    shown = CliRunner().invoke(app, ["count", "photos"], env={"COLUMNS": "80"})
    assert 0 == shown.exit_code, shown.output
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert [["time-of-day", "day", "1"], ["time-of-day", "night", "1"]] == rows[1:3]
    assert ["time-of-day", "–", "(undecided)", "1"] == rows[3]
    assert "no image has a tag there" in CliRunner().invoke(app, ["count", "photos/none"]).stdout
    refused = CliRunner().invoke(app, ["count", "--source", "humans"])
    said = " ".join(refused.output.replace("│", " ").split())
    assert (2, True) == (refused.exit_code, "did you mean 'human'" in said)
