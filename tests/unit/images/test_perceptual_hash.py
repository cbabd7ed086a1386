"""The perceptual hash is computed in a way of our own, and is imagehash's to the last bit."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from worker.images.phash import phash


def theirs(picture: Image.Image) -> int:
    """What imagehash makes of the picture that is small enough for it to be quick."""
    factor = min(picture.size) // 128
    smaller = picture.reduce(factor) if factor > 1 else picture
    return int.from_bytes(bytes.fromhex(str(imagehash.phash(smaller))), "big", signed=True)


def blots(random: np.random.Generator) -> Image.Image:
    """Something with the slow waves of a photo: a few samples, enlarged to an odd size."""
    rough = random.integers(0, 256, (*random.integers(2, 12, 2), 3), dtype=np.uint8)
    width, height = (int(side) for side in random.integers(20, 420, 2))
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def test_hundreds_of_pictures_hash_as_with_imagehash():
    """Of all sizes, reduced and not, with much and with little detail."""
    random = np.random.default_rng(5)
    pictures = [blots(random) for _ in range(300)]
    pictures += [Image.fromarray(random.integers(0, 256, (height, 90, 3), dtype=np.uint8)) for height in range(1, 40)]
    assert [] == [each.size for each in pictures if theirs(each) != phash(each)]


@pytest.mark.parametrize(
    "samples",
    [
        np.full((77, 100, 3), 255),
        np.zeros((1, 1, 3)),
        np.broadcast_to(np.linspace(0, 255, 100)[:, None, None], (100, 60, 3)),
        np.broadcast_to(np.linspace(255, 0, 60)[None, :, None], (100, 60, 3)),
        np.broadcast_to((np.arange(64)[:, None, None] // 8 % 2) * 255, (64, 64, 3)),
    ],
    ids=["white", "one black pixel", "falling", "rising", "stripes"],
)
def test_pictures_without_detail_hash_as_with_imagehash(samples: np.ndarray):
    """Where nearly all waves are nothing, rounding decides; so it is imagehash's own rounding."""
    picture = Image.fromarray(samples.astype(np.uint8))
    assert theirs(picture) == phash(picture)
