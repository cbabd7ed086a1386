"""A picture that is shown upright is embedded upright: each format is turned, and once."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.unit.images.corpus import HEIGHT, LIMITS, QUADRANTS, TRANSPOSED, WIDTH, encode, quadrants, rotated
from worker.images import read_image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
DEEP = np.linspace(0, 65_535, 12, dtype=np.uint16).reshape(3, 4)


def middles(image: Image.Image) -> np.ndarray:
    """Colours of the four quadrants, clockwise from the top left."""
    wide, high = image.size
    return np.array(
        [image.getpixel((wide * x // 4, high * y // 4)) for x, y in ((1, 1), (3, 1), (3, 3), (1, 3))], float
    )


@pytest.mark.parametrize("min_side", [None, 8])
@pytest.mark.parametrize("orientation", TRANSPOSED)
@pytest.mark.parametrize("format_name", FORMATS)
def test_every_orientation_of_every_format_is_undone_once(
    format_name: str, orientation: int, min_side: int | None
) -> None:
    """Turned and mirrored, decoded whole and made smaller; AVIF by its container, which Pillow writes."""
    decoded = read_image(rotated(orientation, format_name), limits=LIMITS, min_side=min_side)
    assert np.abs(middles(decoded.pixels) - np.array(QUADRANTS, float)).max() <= 24
    assert (WIDTH, HEIGHT) == (decoded.metadata.width, decoded.metadata.height)
    assert orientation == decoded.metadata.orientation


@pytest.mark.parametrize("orientation", TRANSPOSED)
def test_deep_samples_are_turned_too(orientation: int) -> None:
    """16 bits of grey in a TIFF, which become 8 on another way than colours do."""
    upright = Image.fromarray(DEEP)
    method = TRANSPOSED[orientation]
    data = encode(upright if method is None else upright.transpose(method), "TIFF", tiffinfo={0x0112: orientation})
    decoded = read_image(data, limits=LIMITS, min_side=None)
    assert np.abs(np.asarray(decoded.pixels)[:, :, 0] - DEEP / 257).max() <= 1
    assert (4, 3) == (decoded.metadata.width, decoded.metadata.height)


def test_a_bmp_and_a_gif_have_no_orientation() -> None:
    """Nothing says how they lie, so they lie as they are."""
    for format_name in ("BMP", "GIF"):
        decoded = read_image(encode(quadrants(), format_name), limits=LIMITS, min_side=None)
        assert np.abs(middles(decoded.pixels) - np.array(QUADRANTS, float)).max() <= 24
