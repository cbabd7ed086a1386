"""How places are turned onto a map before, and kept on a grid."""

from __future__ import annotations

import numpy as np
import pytest

from worker.pipeline.maps.geometry import Frame, align, frame_of


def places(count: int = 200, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32) * [3, 1]


def turned(by: float, *, mirrored: bool = False) -> np.ndarray:
    matrix = np.array([[np.cos(by), np.sin(by)], [-np.sin(by), np.cos(by)]])
    return matrix @ np.diag([1, -1]) if mirrored else matrix


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_map_that_was_only_moved_is_moved_back(mirrored):
    """Rotation, reflection, scale and shift are undone, and all of the variance is explained."""
    old = places()
    new = (old @ turned(2.1, mirrored=mirrored) * 7 + [100, -3]).astype(np.float32)
    found = align(new, old)
    assert found is not None
    np.testing.assert_allclose(found(new), old, atol=1e-3)
    assert 1.0 == pytest.approx(found.explained, abs=1e-5)


def test_places_of_other_images_are_moved_along():
    """What is learned from common points holds for all."""
    old = places()
    new = (old @ turned(0.4) * 2).astype(np.float32)
    found = align(new[:50], old[:50])
    assert found is not None
    np.testing.assert_allclose(found(new), old, atol=1e-3)


def test_how_much_the_shape_is_kept_is_said():
    """Places that have nothing to do with those before explain nearly nothing of them."""
    found = align(places(5_000, seed=1), places(5_000, seed=2))
    assert found is not None
    assert 0.0 == pytest.approx(found.explained, abs=0.01)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (places(2), places(2)),
        (np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)),
        (np.ones((9, 2), np.float32), places(9)),
        (places(9), np.ones((9, 2), np.float32)),
    ],
)
def test_nothing_is_turned_where_nothing_is_known(new, old):
    """With fewer than three common points, or all in one place, there is no alignment."""
    assert align(new, old) is None


def test_the_grid_keeps_places_to_a_step():
    """A place comes back within half a step of the grid, on both axes alike."""
    given = places()
    frame = frame_of(given)
    found = frame.places(frame.grid(given))
    assert np.abs(found - given).max() <= frame.half / 65_535 * 1.01
    assert (0, 65_535) == (frame.grid(given)[:, 0].min(), frame.grid(given)[:, 0].max())


def test_places_outside_of_the_frame_go_to_its_edge():
    """The grid has no more than its 65,536 steps."""
    frame = Frame(x=0, y=0, half=1)
    assert [[65_535, 0]] == frame.grid(np.array([[9, -9]], np.float32)).tolist()


@pytest.mark.parametrize("given", [np.zeros((0, 2), np.float32), np.full((3, 2), 5, np.float32)])
def test_a_frame_is_never_empty(given):
    """No place, or one place, has a square around it, too."""
    assert 1.0 == frame_of(given).half
