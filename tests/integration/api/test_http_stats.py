"""What the model says by day, over real HTTP, by the command and as metrics, on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.factories import enriched_image
from tests.integration.api.live import Answer
from worker import catalog, metrics
from worker.cli import app
from worker.db import transaction
from worker.pipeline.operations import tag_gauges


@pytest.fixture
def day(engine, enriched):
    """Puts images of one label each into the catalog, enriched so many days ago."""

    def put(ago: int, *, bucket: str = "photos", **labels: int) -> None:
        images = [
            enriched_image(f"{bucket}-{ago}-{label}-{n}.jpg", label=None if label == "none" else label)
            for label, count in labels.items()
            for n in range(count)
        ]
        enriched(*images)
        with transaction(engine) as connection:
            connection.execute(
                text(
                    "UPDATE images SET enriched_at = now() - make_interval(days => :ago), bucket = :bucket "
                    "WHERE starts_with(key, :prefix)"
                ),
                {"ago": ago, "bucket": bucket, "prefix": f"{bucket}-{ago}-"},
            )

    return put


def days(answer: Answer) -> list[dict[str, Any]]:
    [found] = answer.json["taxonomies"]
    shown: list[dict[str, Any]] = found["days"]
    return shown


def test_shares_and_probabilities_by_day(api, day):
    """Images without a label are part of what shares are of; probabilities are those of the label."""
    day(0, day=3, none=1)
    day(2, night=2)
    answer = api.get("/v1/stats")
    [found] = answer.json["taxonomies"]
    assert (6, 6, True) == tuple(answer.json[name] for name in ("images", "counted", "exact"))
    assert ("time-of-day", None) == (found["taxonomy"], found["bucket"])
    assert [(2, 0.0), (4, 0.25)] == [(each["images"], each["no_label"]) for each in found["days"]]
    assert [{"label": "day", "images": 3, "share": 0.75, "p10": 0.75, "median": 0.75, "p90": 0.75}] == found["days"][1][
        "labels"
    ]
    assert [("day", 3), ("night", 2)] == [(each["label"], each["images"]) for each in found["total"]["labels"]]


def test_a_changed_day_is_found(api, day):
    """A day that differs from those before it has a sentence that says what changed; a day like them has none."""
    for ago in (3, 2, 1):
        day(ago, day=80, night=15, none=5)
    day(0, day=30, night=30, none=40)
    *before, today = days(api.get("/v1/stats"))
    assert ["none", "none"] == [each["drift"]["level"] for each in before[1:]]
    assert (None, [None, None]) == (before[0]["drift"], [each["finding"] for each in before[1:]])
    assert ("large", True) == (today["drift"]["level"], today["drift"]["jump"])
    assert pytest.approx(0.35) == today["drift"]["abstentions"]
    assert "day from 80 % to 30 %" in today["finding"]
    assert "images without a label: from 5 % to 40 %" in today["finding"]


def test_the_days_before_the_first_one_shown_are_compared_with(api, day):
    """So the first day has a comparison, too."""
    day(5, day=50)
    day(0, day=50)
    [today] = days(api.get("/v1/stats?since=1d"))
    assert ("none", 50) == (today["drift"]["level"], today["images"])
    assert 50 == api.get("/v1/stats?since=1d").json["images"]


def test_few_images_are_not_compared(api, day):
    """Whatever they are: a handful says nothing."""
    day(1, day=50)
    day(0, night=10)
    assert "too-few" == days(api.get("/v1/stats"))[-1]["drift"]["level"]


def test_buckets_apart(api, day):
    """Each by itself beside all together, or only one."""
    day(0, day=2)
    day(0, bucket="scans", night=1)
    found = api.get("/v1/stats?by_bucket=true").json["taxonomies"]
    assert [(None, 3), ("photos", 2), ("scans", 1)] == [(each["bucket"], each["total"]["images"]) for each in found]
    [scans] = api.get("/v1/stats?bucket=scans&taxonomy=time-of-day").json["taxonomies"]
    assert [("night", 1)] == [(each["label"], each["images"]) for each in scans["total"]["labels"]]


def test_peoples_corrections_do_not_count(api, engine, day):
    """They would look like a change of the images."""
    day(0, day=3)
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'time-of-day', 'v', 'night', 'human' FROM images"
            )
        )
    assert [("day", 3)] == [(each["label"], each["images"]) for each in days(api.get("/v1/stats"))[0]["labels"]]


def test_many_images_are_sampled(api, day, monkeypatch):
    """So many of each bucket and day, drawn at random; totals and shares are estimates, and the answer says so."""
    monkeypatch.setattr(catalog.tag_samples, "MOST_OF_A_CELL", 500)
    day(0, day=1_500, night=500)
    day(0, bucket="scans", night=100)
    found = api.get("/v1/stats").json
    [one] = found["taxonomies"]
    assert (False, 600, 500) == (found["exact"], found["counted"], found["most"])
    assert pytest.approx(2_100, rel=0.2) == found["images"]
    shares = {each["label"]: each["share"] for each in one["total"]["labels"]}
    assert {"day": pytest.approx(0.714, abs=0.07), "night": pytest.approx(0.286, abs=0.07)} == shares


def test_the_sample_is_read_in_the_order_of_an_index(engine, day):
    """Or each day would be read in full."""
    day(0, day=3_000)
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE images"))
        plan = connection.execute(
            text(
                "EXPLAIN SELECT id FROM images i WHERE i.bucket = 'photos' AND "
                f"{catalog.tag_samples.DAY} = (now() AT TIME ZONE 'UTC')::date ORDER BY hashint8(i.id) LIMIT 100"
            )
        )
        steps = [row[0] for row in plan]
    assert any("images_by_day" in each for each in steps), steps
    assert not any("Sort" in each for each in steps), steps


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("taxonomy=time-of-dya", "did you mean 'time-of-day'"),
        ("bucket=photo", "unknown bucket 'photo'"),
        ("since=91d", "at most 90d"),
        ("since=2d3", "neither a duration"),
        ("since=2999-01-01T00:00:00Z", "in the future"),
    ],
)
def test_what_cannot_be_answered_is_refused(api, gallery, query, says):
    """With what to write instead."""
    answer = api.get(f"/v1/stats?{query}")
    assert (422, True) == (answer.status, says in answer.detail), answer.detail


def test_a_catalog_without_images_has_no_days(api):
    """Which is no error."""
    assert ([], 0) == (api.get("/v1/stats").json["taxonomies"], api.get("/v1/stats").json["images"])


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_the_gauges_describe_the_last_24_hours(engine, day):
    """Against the days before; a taxonomy without recent images has no series any more."""
    day(2, day=90, night=10)
    day(0, day=10, night=40, none=50)
    tag_gauges.publish(engine)
    whose = {"taxonomy": "time-of-day", "bucket": ""}
    assert (100, 0.5) == (value("enrich_recent_images", **whose), value("enrich_recent_no_label_share", **whose))
    assert 0.4 == value("enrich_recent_label_share", label="night", **whose)
    assert 0.75 == value("enrich_recent_label_probability", taxonomy="time-of-day", label="night", quantile="0.5")
    assert pytest.approx(0.5) == value("enrich_no_label_change", **whose)
    drift, chance = (value(f"enrich_label_drift{name}", **whose) for name in ("", "_by_chance"))
    assert drift is not None
    assert chance is not None
    assert drift > chance > 0
    with transaction(engine) as connection:
        connection.execute(text("UPDATE images SET enriched_at = enriched_at - interval '3 days'"))
    tag_gauges.publish(engine)
    assert (None, None) == (value("enrich_recent_images", **whose), value("enrich_label_drift", **whose))


def test_few_buckets_have_gauges_of_their_own(engine, day, monkeypatch):
    """Beside those of all together; many have none, so that the number of series stays small."""
    day(0, day=2)
    day(0, bucket="scans", night=1)
    tag_gauges.publish(engine)
    scans = {"taxonomy": "time-of-day", "bucket": "scans"}
    assert (1, None) == (value("enrich_recent_images", **scans), value("enrich_label_drift", **scans))
    assert 3 == value("enrich_recent_images", taxonomy="time-of-day", bucket="")
    monkeypatch.setattr(tag_gauges, "MOST_BUCKETS", 1)
    tag_gauges.publish(engine)
    assert (None, 3) == (
        value("enrich_recent_images", **scans),
        value("enrich_recent_images", taxonomy="time-of-day", bucket=""),
    )


def test_the_command_prints_tables_and_findings(engine, day, monkeypatch, tmp_path):
    """Labels of all days, then each day, then what has changed; with --json what the API answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "ENRICH_DATABASE_URL", engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    day(1, day=50)
    day(0, night=50)
    shown = CliRunner().invoke(app, ["stats", "time-of-day", "--by-bucket"], env={"COLUMNS": "200"})
    assert 0 == shown.exit_code, shown.output
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["time-of-day", "(all)", "day", "50", "50", "%", "0.75", "0.75", "0.75"] in rows
    assert 2 == sum("large" in row for row in rows)
    assert "time-of-day in photos: the shares of the labels have shifted" in shown.stdout
    assert "all 100 images" in shown.stderr
    assert "without people's corrections" in shown.stderr
    refused = CliRunner().invoke(app, ["stats", "--since", "soon"])
    assert (2, True) == (refused.exit_code, "neither a duration" in " ".join(refused.output.replace("│", " ").split()))
