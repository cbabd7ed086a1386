"""Colours of a map: one byte for each point, and a legend that adds up."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest
from sqlalchemy import text

from tests.factories import enriched_image
from tests.integration.pipeline.maps.conftest import vectors
from tests.integration.pipeline.maps.test_maps import drawn
from tests.ledger import ref
from worker import catalog
from worker.catalog.maps import Map
from worker.catalog.removal import Removal
from worker.db import Engine, transaction
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.maps import colours, points
from worker.pipeline.maps.requests import NoMapError


def by_key(engine: Engine, map_: Map, by: str) -> dict[str, str]:
    """Key → the title of its colour, of those that are in the catalog."""
    found = colours.colours(engine, map_.id, by)
    titles = {each.value: each.title for each in found.legend}
    records = points.picked(engine, map_.id, list(range(map_.images))).images
    return {record.key: titles[found.column[point]] for point, record in records}


def legend(engine: Engine, map_: Map, by: str) -> dict[str, int]:
    return {each.title: each.images for each in colours.colours(engine, map_.id, by).legend}


def decide(engine: Engine, key: str, label: str | None, source: str) -> None:
    """A row of a person's decision, as ``project_decisions`` makes it."""
    with transaction(engine) as connection:
        connection.execute(
            text("""
                INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source)
                SELECT id, 'time-of-day', 'v', :label, :source FROM images WHERE key = :key
            """),
            {"key": key, "label": label, "source": source},
        )


def test_labels_have_colours(engine, fill):
    """Each point has the colour of its label; the legend counts them, most images first."""
    axes = fill(200)
    map_ = drawn(engine)
    expected = {f"a/{number:05}.jpg": f"axis-{axis}" for number, axis in enumerate(axes)}
    assert expected == by_key(engine, map_, "tag:time-of-day")
    counts = Counter(expected.values())
    assert dict(counts.most_common()) == legend(engine, map_, "tag:time-of-day")


def test_people_come_first(engine, fill):
    """A person's label colours the image; where all that the model says is rejected, none of the labels is left."""
    fill(120, axes=(0,))
    map_ = drawn(engine)
    decide(engine, "a/00001.jpg", "dusk", "human")
    decide(engine, "a/00002.jpg", "dawn", "human-label")
    decide(engine, "a/00003.jpg", "axis-0", "rejected")
    found = by_key(engine, map_, "tag:time-of-day")
    wanted = ["axis-0", "dusk", "dawn", "none of the labels"]
    assert wanted == [found[f"a/0000{number}.jpg"] for number in range(4)]


def test_decisions_have_colours(engine, fill):
    """What people accepted, rejected, or both; all others are not decided."""
    fill(120)
    map_ = drawn(engine)
    decide(engine, "a/00001.jpg", "dusk", "human")
    decide(engine, "a/00002.jpg", "axis-0", "rejected")
    decide(engine, "a/00003.jpg", "dawn", "human-label")
    decide(engine, "a/00003.jpg", "dusk", "rejected")
    wanted = {"accepted": 1, "rejected": 1, "accepted and rejected": 1, "not decided": 117}
    assert wanted == legend(engine, map_, "decision")
    assert "accepted and rejected" == by_key(engine, map_, "decision")["a/00003.jpg"]


@pytest.mark.parametrize(
    ("days", "wanted"),
    [
        ([0, 1, 1], {"2024-01-01": 1, "2024-01-02": 2, "no time in the file": 1}),
        ([0, 200], {"2024-01": 1, "2024-07": 1, "no time in the file": 1}),
        ([0, 7_000], {"2024": 1, "2043": 1, "no time in the file": 1}),
    ],
)
def test_times_have_colours_in_order(engine, space, days, wanted):
    """By day, month or year, so that there are not too many; images without a time say so."""
    made, _ = vectors(len(days) + 1)
    times = [datetime.fromordinal(datetime(2024, 1, 1).toordinal() + day) for day in days]  # noqa: DTZ001  # cameras'
    images = [
        enriched_image(f"{number}.jpg", vector=vector, taken_at=taken)
        for number, (vector, taken) in enumerate(zip(made, [*times, None], strict=True))
    ]
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)
    found = colours.colours(engine, drawn(engine).id, "time").legend
    assert wanted == {each.title: each.images for each in found}
    assert sorted(wanted)[: len(found) - 1] == [each.title for each in found][:-1]


def test_clocks_that_are_wrong_by_centuries_share_a_colour(engine, space):
    """The years that most images have keep colours of their own."""
    made, _ = vectors(3)
    times = [datetime(1, 1, 1), datetime(2023, 1, 1), datetime(2024, 1, 1)]  # noqa: DTZ001
    images = [
        enriched_image(f"{at.year}.jpg", vector=vector, taken_at=at) for vector, at in zip(made, times, strict=True)
    ]
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)
    assert {"2023", "2024"} < set(legend(engine, drawn(engine), "time"))


def test_buckets_have_colours(engine, fill):
    """Here there is only one."""
    fill(110)
    assert {"photos": 110} == legend(engine, drawn(engine), "bucket")


def test_images_that_are_gone_have_a_colour_of_their_own(engine, fill):
    """So that they can be hidden."""
    fill(110)
    map_ = drawn(engine)
    with transaction(engine) as connection:
        catalog.removal.remove(connection, [Removal(ref=ref("a/00005.jpg"))])
    for by in ("tag:time-of-day", "decision", "time", "bucket"):
        assert 1 == legend(engine, map_, by)["no longer in the catalog"], by
        assert 110 == sum(legend(engine, map_, by).values()), by


def test_many_labels_share_the_last_colour(engine, space):
    """The 252 labels of most images have colours, and the legend says how many images have others."""
    made, _ = vectors(320)
    images = [
        enriched_image(f"{number}.jpg", label=f"l{min(number, 299):03}", vector=vector)
        for number, vector in enumerate(made)
    ]
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)
    found = colours.colours(engine, drawn(engine).id, "tag:time-of-day").legend
    assert (253, "l299", 21) == (len(found), found[0].name, found[0].images)
    assert ("other", 48) == (found[-1].kind, found[-1].images)


def test_the_first_points_keep_their_colours(engine, fill):
    """With a count, the column fits to as many points."""
    fill(120)
    map_ = drawn(engine)
    whole, part = (colours.colours(engine, map_.id, "tag:time-of-day", count=count) for count in (None, 50))
    assert (120, 50) == (len(whole.column), len(part.column))


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        ("tag:time-of-dey", UnknownNameError, "did you mean 'time-of-day'"),
        ("buckets", ChoiceError, "did you mean 'bucket'"),
        ("tag:", ChoiceError, "choose tag:TAXONOMY, decision, time or bucket"),
        ("sharpness", ChoiceError, "choose tag:TAXONOMY"),
    ],
)
def test_what_cannot_be_coloured_by_is_refused(engine, fill, by, error, message):
    """With what was perhaps meant."""
    fill(110)
    map_ = drawn(engine)
    with pytest.raises(error, match=message):
        colours.colours(engine, map_.id, by)


def test_a_map_that_is_not_drawn_has_no_colours(engine, fill):
    """The message says to ask again."""
    from worker.pipeline.maps import requests

    fill(110)
    asked, _ = requests.request(engine, requests.MapRequest())
    with pytest.raises(NoMapError, match="not drawn yet"):
        colours.colours(engine, asked.id, "time")
