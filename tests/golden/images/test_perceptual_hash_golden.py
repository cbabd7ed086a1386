"""The perceptual hash is an interface: other services compare it, so its bits never change."""

from __future__ import annotations

import imagehash
import pytest

from tests.unit.images.corpus import CORPUS, LIMITS, encode, quadrants
from worker.images import read_image

#: imagehash.phash of ``quadrants()``, read as a signed 64-bit integer.
QUADRANTS_HASH = -5526846159541456205


def test_the_hash_of_a_known_picture():
    """The bits, their order and their sign."""
    data = encode(quadrants(), "PNG")
    assert read_image(data, limits=LIMITS, min_side=None).metadata.phash == QUADRANTS_HASH


def test_the_hash_is_that_of_imagehash():
    """Anyone with the ``imagehash`` package gets the same 64 bits."""
    expected = int(str(imagehash.phash(quadrants())), 16)
    assert expected == QUADRANTS_HASH % (1 << 64)


@pytest.mark.parametrize("name", [f"jpeg turned {i}" for i in range(1, 9)])
@pytest.mark.parametrize("min_side", [None, 8])
def test_the_hash_sees_the_upright_picture(name, min_side):
    """Neither orientation nor reduced decoding nor JPEG move more than a few of the 64 bits."""
    phash = read_image(CORPUS[name].build(), limits=LIMITS, min_side=min_side).metadata.phash
    assert ((phash ^ QUADRANTS_HASH) % (1 << 64)).bit_count() <= 8
