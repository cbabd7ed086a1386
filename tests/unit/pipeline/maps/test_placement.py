"""Images are placed by their neighbours, always the same way."""

from __future__ import annotations

import numpy as np
import pytest

from worker.errors import ChoiceError
from worker.pipeline.maps import clusters, projection
from worker.pipeline.maps.placement import Placement

DIMENSION = 48


def groups(count: int, *, of: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around centres that are far from each other, and the centre of each."""
    random = np.random.default_rng(seed)
    axes = np.eye(DIMENSION, dtype=np.float32)[:of]
    group = random.integers(0, of, count)
    vectors = axes[group] + 0.08 * random.normal(size=(count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), group


def test_an_image_lies_among_its_own():
    """New images of a group are placed near the middle of that group's places, and not of another one's."""
    vectors, group = groups(3_000)
    middles = np.random.default_rng(3).normal(size=(6, 2)) * 50
    places = (middles[group] + np.random.default_rng(4).normal(size=(3_000, 2))).astype(np.float32)
    new, of = groups(500, seed=9)
    found = Placement(vectors, places, seed=0).place(new)
    distances = np.linalg.norm(found.places[:, None] - middles[None], axis=2)
    assert of.tolist() == distances.argmin(axis=1).tolist()


def test_a_copy_lies_beside_its_original():
    """Weights fall off with distance: of an image that is there already, the place is nearly the same."""
    vectors, _ = groups(400)
    places = np.random.default_rng(1).uniform(-1, 1, (400, 2)).astype(np.float32)
    found = Placement(vectors, places, seed=0).place(vectors[:50])
    spread = np.linalg.norm(places[:50] - places[50:100], axis=1).mean()
    assert np.linalg.norm(found.places - places[:50], axis=1).mean() < 0.4 * spread


def test_neighbours_are_the_nearest():
    """Up to 2,400 fitted images, distances are those of an exact search."""
    vectors, _ = groups(2_000)
    new, _ = groups(64, seed=5)
    found = Placement(vectors, np.zeros((2_000, 2), np.float32), seed=0).place(new)
    exact = 1 - np.sort(new @ vectors.T, axis=1)[:, -15:].mean(axis=1)
    np.testing.assert_allclose(found.distances, exact, atol=1e-5)


def test_distances_of_a_large_sample_are_nearly_exact():
    """Only some lists are searched, which hardly changes how far neighbours are."""
    vectors, _ = groups(8_000, of=40)
    new, _ = groups(64, of=40, seed=5)
    found = Placement(vectors, np.zeros((8_000, 2), np.float32), seed=0).place(new)
    exact = 1 - np.sort(new @ vectors.T, axis=1)[:, -15:].mean(axis=1)
    assert (found.distances - exact).mean() < 0.01


def test_what_is_unlike_anything_is_poorly_placed():
    """Images of a group that the map has not seen are farther from their neighbours than what is usual on it."""
    vectors, _ = groups(1_000)
    placement = Placement(vectors, np.zeros((1_000, 2), np.float32), seed=0)
    strange = np.eye(DIMENSION, dtype=np.float32)[40:45]
    usual, _ = groups(200, seed=7)
    assert (placement.place(strange).distances > placement.usual_distance()).all()
    assert (placement.place(usual).distances > placement.usual_distance()).mean() < 0.05


def test_one_fitted_image_is_enough():
    """Everything lies where the only image lies."""
    vectors, _ = groups(3)
    found = Placement(vectors[:1], np.array([[4, 5]], np.float32), seed=0).place(vectors)
    assert [[4.0, 5.0]] * 3 == found.places.tolist()
    assert np.isfinite(found.distances).all()


def test_the_same_input_gives_the_same_places():
    """Centres, sample, projection and placement depend on nothing but what is given."""

    def once() -> list[np.ndarray]:
        vectors, _ = groups(3_000)
        centres = clusters.centres(vectors, 20, seed=1)
        chosen = clusters.stratified(clusters.assign(vectors, centres), 1_000, seed=1)
        places = projection.project(vectors[chosen], "pca", seed=1)
        return [centres, chosen, places, Placement(vectors[chosen], places, seed=1).place(vectors).places]

    for first, second in zip(once(), once(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_pca_keeps_apart_what_is_apart():
    """Two groups lie on two sides, and the first axis has the larger spread."""
    vectors, group = groups(600, of=2)
    places = projection.pca(vectors)
    assert (places[group == 0, 0].max() < places[group == 1, 0].min()) or (
        places[group == 1, 0].max() < places[group == 0, 0].min()
    )
    assert places[:, 0].std() > places[:, 1].std()


def test_pca_takes_as_few_images_as_there_are():
    """One image, or two, have places, too."""
    for count in (1, 2):
        found = projection.pca(groups(count)[0])
        assert (count, 2) == found.shape
        assert np.isfinite(found).all()


def test_small_clusters_are_seen():
    """A group of one in a thousand has far more than its share of the sample, and no more than it has."""
    strata = np.repeat([0, 1, 2], [9_000, 990, 10])
    chosen = clusters.stratified(strata, 1_000, seed=0)
    counts = np.bincount(strata[chosen])
    assert (1_000, 10) == (len(chosen), counts[2])
    assert counts[0] > counts[1] > 200


def test_a_sample_of_all_is_all():
    """Where no more images are there than wanted, each is taken once."""
    assert [0, 1, 2] == clusters.stratified(np.array([1, 0, 1]), 3, seed=0).tolist()


def test_umap_is_used_where_it_is_installed(monkeypatch):
    """`auto` takes it, few images are laid out by PCA all the same, and where it is missing the message says how."""
    monkeypatch.setattr(projection, "has_umap", lambda: True)
    assert ("umap", "pca") == (projection.chosen("auto", 1_000), projection.chosen("auto", 20))
    monkeypatch.setattr(projection, "has_umap", lambda: False)
    assert "pca" == projection.chosen("auto", 1_000)
    with pytest.raises(ChoiceError, match=r"pip install image-enricher\[map\]"):
        projection.chosen("umap", 1_000)


@pytest.mark.slow
@pytest.mark.skipif(not projection.has_umap(), reason="needs the extra `map`")
def test_umap_keeps_groups_together():
    """Neighbours on the map are of the same group, and the same seed gives the same map."""
    vectors, group = groups(400)
    first, second = (projection.project(vectors, "umap", seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    nearest = np.linalg.norm(first[:, None] - first[None], axis=2).argsort(axis=1)[:, 1]
    assert (group[nearest] == group).mean() > 0.95


@pytest.mark.parametrize("others", [0, 3_000])
def test_many_equal_images_have_a_place(others):
    """Of equal vectors, all lists but one are empty: the one that has them is found all the same."""
    equal = np.tile(np.eye(DIMENSION, dtype=np.float32)[7], (3_000, 1))
    vectors = np.concatenate([equal, groups(others)[0]])
    places = np.full((len(vectors), 2), 5, np.float32)
    places[:3_000] = 1
    found = Placement(vectors, places, seed=0).place(equal[:20])
    np.testing.assert_allclose(found.places, 1)
    np.testing.assert_allclose(found.distances, 0, atol=1e-6)
