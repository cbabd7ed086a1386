"""Binary codes: which differ least."""

from __future__ import annotations

import numpy as np
import pytest

from worker.catalog.codes import Codes, _words


def codes_of(vectors):
    return Codes(images=np.arange(len(vectors)) * 3 + 1, words=_words(np.packbits(vectors > 0, axis=1)))


@pytest.mark.parametrize("dimension", [8, 64, 100, 512, 769])
@pytest.mark.parametrize("images", [1, 500, 40_000])
def test_the_closest_are_those_whose_bits_differ_least(dimension, images):
    """Of those asked for only, and with them all that are equally near as the last one."""
    rng = np.random.default_rng(dimension + images)
    vectors, query = rng.normal(size=(images, dimension)), rng.normal(size=dimension)
    among = np.flatnonzero(rng.random(images) < 0.5)
    differing = ((vectors > 0) != (query > 0)).sum(axis=1)
    found = codes_of(vectors).closest(query, among, 50)
    farthest = np.sort(differing[among])[49] if len(among) > 50 else dimension
    assert found.tolist() == [3 * n + 1 for n in among if differing[n] <= farthest]


def test_flags_of_images_that_are_not_there():
    """Before the first, between, and behind the last."""
    codes = codes_of(np.ones((3, 64)))
    assert [True, False, True] == codes.flags(np.array([-1, 1, 2, 7, 8, 900])).tolist()
    assert [] == codes_of(np.ones((0, 64))).flags(np.array([1])).tolist()
