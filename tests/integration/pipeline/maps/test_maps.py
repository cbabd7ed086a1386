"""Maps from request to pruning, on PostgreSQL."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from tests.ledger import ref
from worker import catalog
from worker.catalog.maps import Map
from worker.catalog.removal import Removal
from worker.db import Engine, transaction
from worker.errors import ChoiceError, NotFoundError
from worker.pipeline.maps import points, projection, requests
from worker.pipeline.maps.draw import DrawingLostError, draw, frame_of
from worker.pipeline.maps.requests import MapRequest, NoMapError
from worker.pipeline.maps.run import run_requested
from worker.pipeline.maps.update import update

SMALL = MapRequest(method="pca", sample=100, seed=1)


def drawn(engine: Engine, wanted: MapRequest = SMALL) -> Map:
    asked, _ = requests.request(engine, wanted)
    with transaction(engine) as connection:
        begun = catalog.maps.begin(connection, asked.id)
    assert begun is not None
    return draw(engine, begun)


def places(engine: Engine, map_: Map) -> np.ndarray:
    with transaction(engine) as connection:
        grid = catalog.map_points.grid(connection, map_.id, count=map_.images)
    return frame_of(map_).places(grid)


def keys(engine: Engine, map_: Map, chosen: list[int]) -> list[str]:
    return [record.key for _, record in points.picked(engine, map_.id, chosen).images]


def age(engine: Engine, seconds: float) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE maps SET renewed_at = renewed_at - make_interval(secs => :s)"), {"s": seconds})


def test_every_image_has_a_place(engine, fill):
    """Fitted images come first, the others behind them; each is there once, and groups are apart."""
    fill(500)
    found = drawn(engine)
    assert ("ready", "pca", 500, 100) == (found.state, found.method, found.images, found.fitted)
    with transaction(engine) as connection:
        images = catalog.map_points.images(connection, found.id, count=500)
    assert 500 == len(set(images.tolist()))
    labels = {point: record.tags[0].label for point, record in points.picked(engine, found.id, list(range(500))).images}
    at = places(engine, found)
    middles = {
        label: at[[point for point, each in labels.items() if each == label]].mean(axis=0)
        for label in set(labels.values())
    }
    nearest = {point: min(middles, key=lambda label: np.linalg.norm(middles[label] - at[point])) for point in labels}
    assert labels == nearest


def test_the_same_catalog_gives_the_same_map(engine, fill):
    """Two maps in a row have the same points, byte for byte; the second follows the first completely."""
    fill(500)
    first, second = drawn(engine), drawn(engine)
    assert (first.id, 500) == (second.previous, second.common)
    assert 1.0 == pytest.approx(second.explained, abs=1e-4)
    np.testing.assert_allclose(places(engine, first), places(engine, second), atol=2e-3)


def test_a_new_map_lies_like_the_one_before(engine, fill):
    """With other images, PCA may mirror or turn; the common images stay near their places all the same."""
    fill(400)
    first = drawn(engine)
    before = places(engine, first)
    fill(400, prefix="b", axes=(0, 5, 10, 15), seed=2)
    second = drawn(engine)
    with transaction(engine) as connection:
        old = catalog.map_points.images(connection, first.id, count=first.images)
        new = catalog.map_points.images(connection, second.id, count=second.images)
    _, rows, old_rows = np.intersect1d(new, old, return_indices=True)
    off = np.linalg.norm(places(engine, second)[rows] - before[old_rows], axis=1)
    assert np.median(off) < 0.25 * np.linalg.norm(before - before.mean(axis=0), axis=1).mean()


def test_readers_keep_the_map_before(engine, fill):
    """While a map is drawn the one before is current, and is kept one generation longer; older ones are deleted."""
    fill(150)
    first = drawn(engine)
    asked, is_new = requests.request(engine, SMALL)
    assert is_new
    assert [(asked.id, False), (first.id, True)] == [(each.map.id, each.current) for each in requests.maps(engine)]
    assert (asked, False) == requests.request(engine, MapRequest(method="umap"))
    assert 0 == run_requested(engine)
    third = drawn(engine)
    assert [third.id, asked.id] == [each.map.id for each in requests.maps(engine)]
    with pytest.raises(NotFoundError, match=f"there is no map {first.id}"):
        points.count(engine, first.id, None)


def test_new_images_are_placed_without_a_new_map(engine, fill):
    """An update puts them behind the points that are there, which stay where they are, near their own group."""
    fill(300)
    before = drawn(engine)
    kept = places(engine, before)
    axes = fill(60, prefix="b", seed=5)
    done = update(engine, before)
    assert (60, 360, False) == (done.added, done.map.images, done.is_worn)
    after = places(engine, done.map)
    np.testing.assert_array_equal(kept, after[:300])
    assert [f"b/{number:05}.jpg" for number in range(60)] == keys(engine, done.map, list(range(300, 360)))
    group = np.array(axes)
    for axis in (0, 5, 10):
        own = after[300:][group == axis]
        assert np.linalg.norm(own - own.mean(axis=0), axis=1).max() < before.half or len(own) == 0
    assert 0 == update(engine, done.map).added


def test_a_map_wears_out(engine, fill):
    """Images of a kind that it has never seen are poorly placed; that share says when to draw anew."""
    fill(300)
    before = drawn(engine)
    assert before.poor_share < 0.05
    fill(100, prefix="b", axes=(20, 25), seed=6)
    done = update(engine, before)
    assert done.is_worn
    assert 0.3 < done.map.poor_share < 0.4


def test_two_updates_do_not_place_an_image_twice(engine, fill):
    """Who comes second finds the map changed, and stores nothing."""
    fill(150)
    before = drawn(engine)
    fill(10, prefix="b", seed=5)
    assert [10, 0] == [update(engine, before).added for _ in range(2)]
    with transaction(engine) as connection:
        assert 160 == len(set(catalog.map_points.images(connection, before.id, count=1_000).tolist()))


def test_deleted_images_are_named(engine, fill):
    """Their points stay, and looking them up says that they are gone."""
    fill(150)
    found = drawn(engine)
    [key] = keys(engine, found, [7])
    with transaction(engine) as connection:
        catalog.removal.remove(connection, [Removal(ref=ref(key))])
    picked = points.picked(engine, found.id, [6, 7, 8, 6])
    assert ([6, 8], (7,)) == ([point for point, _ in picked.images], picked.gone)


def test_a_drawing_that_died_is_begun_once_more(engine, fill):
    """Without a sign of life it is requested again; after the second time it has failed, and says why."""
    fill(150)
    asked, _ = requests.request(engine, SMALL)
    for _ in range(2):
        with transaction(engine) as connection:
            assert catalog.maps.begin(connection) is not None
            assert catalog.maps.begin(connection) is None
        age(engine, 100)
    with transaction(engine) as connection:
        assert catalog.maps.begin(connection) is None
    [found] = requests.maps(engine)
    assert (asked.id, "failed", "the process that drew it ended") == (found.map.id, found.map.state, found.map.error)


def test_who_was_taken_for_dead_stores_nothing(engine, fill):
    """Its map was given to another process meanwhile."""
    fill(150)
    requests.request(engine, SMALL)
    with transaction(engine) as connection:
        late = catalog.maps.begin(connection)
        assert late is not None
        catalog.maps.fail(connection, late.id, "given up")
    with pytest.raises(DrawingLostError):
        draw(engine, late)
    with transaction(engine) as connection:
        assert 0 == connection.execute(text("SELECT count(*) FROM map_chunks")).scalar_one()


def test_why_a_map_failed_is_kept(engine, fill, monkeypatch):
    """A method that is not installed where the map is drawn is named in the list, and the next request is a new one."""
    monkeypatch.setattr(projection, "has_umap", lambda: False)
    fill(150)
    asked, _ = requests.request(engine, MapRequest(method="umap"))
    assert 1 == run_requested(engine)
    [found] = requests.maps(engine)
    assert "failed" == found.map.state
    assert "pip install image-enricher[map]" in str(found.map.error)
    again, _ = requests.request(engine, MapRequest(method="umap"))
    assert 1 == run_requested(engine)
    assert [again.id] == [each.map.id for each in requests.maps(engine)]  # the older failure says nothing more
    assert asked.id < again.id


@pytest.mark.parametrize("sample", [99, 50_001])
def test_a_sample_has_limits(engine, sample):
    """Fewer show nothing, and more take too long."""
    with pytest.raises(ChoiceError, match="choose 100 to 50,000 images"):
        requests.request(engine, MapRequest(sample=sample))


def test_without_images_there_is_nothing_to_draw(engine, space):
    """The request is refused, and so is an update without a map."""
    with pytest.raises(NoMapError, match="nothing to draw"):
        requests.request(engine, SMALL)
    with pytest.raises(NoMapError, match="enrich map draw"):
        requests.request_update(engine)


@pytest.mark.parametrize("count", [1, 2, 17])
def test_few_images_are_drawn_too(engine, fill, count):
    """One image has a map, if a plain one."""
    fill(count)
    found = drawn(engine)
    assert (count, count, 0.0) == (found.images, found.fitted, found.poor_share)


def test_a_map_of_a_dropped_space_is_not_listed(engine, space, fill):
    """Nor read: its images have no vectors any more."""
    fill(20)
    found = drawn(engine)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE spaces SET state = 'dropped' WHERE id = :id"), {"id": space.id})
    assert [] == requests.maps(engine)
    with pytest.raises(NotFoundError):
        points.count(engine, found.id, None)


def test_who_was_taken_for_dead_leaves_the_next_drawing_alone(engine, fill):
    """Another process has begun it anew: the first one neither finishes nor fails it."""
    fill(150)
    requests.request(engine, SMALL)
    with transaction(engine) as connection:
        late = catalog.maps.begin(connection)
    age(engine, 100)
    with transaction(engine) as connection:
        again = catalog.maps.begin(connection)
    assert late is not None
    assert again is not None
    with pytest.raises(DrawingLostError):
        draw(engine, late)
    assert ["drawing"] == [each.map.state for each in requests.maps(engine)]
    assert (late.id, "ready") == ((found := draw(engine, again)).id, found.state)


def test_points_of_a_map_that_was_replaced_meanwhile_are_not_empty(engine, fill):
    """Whoever counted them before is told that the map is gone: clients keep what they get for ever."""
    fill(20)
    first = drawn(engine)
    count = points.count(engine, first.id, None)
    assert 4 * 20 == len(points.points(engine, first.id, count=count))
    for _ in range(2):
        drawn(engine)
    with pytest.raises(NotFoundError, match=f"there is no map {first.id}"):
        points.points(engine, first.id, count=count)
