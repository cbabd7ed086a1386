"""Hashes that say nothing about what a picture looks like."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from worker.images.phash import phash
from worker.pipeline.common.flat_hashes import says_nothing

RAMP = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
STRIPES = np.where(np.arange(640) // 90 % 2, 255, 0).astype(np.uint8)[None].repeat(480, axis=0)


@pytest.mark.parametrize("colour", ["red", "blue", "white", "grey", "black", "#010101", "#123456"])
def test_one_colour_says_nothing(colour):
    """Whatever the colour."""
    assert says_nothing(phash(Image.new("RGB", (640, 480), colour)))


@pytest.mark.parametrize("pixels", [RAMP, RAMP[:, ::-1], RAMP.T, RAMP.T[::-1], STRIPES, STRIPES.T])
def test_a_change_along_one_side_says_nothing(pixels):
    """Gradients and stripes have the bits of one row or column, at most."""
    assert says_nothing(phash(Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")))


def test_pictures_of_something_say_something():
    """A disc, and noise as rough as a photo."""
    y, x = np.mgrid[0:480, 0:640]
    disc = np.where(np.hypot(x - 320, y - 240) < 150, 255, 0).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    assert not says_nothing(phash(Image.fromarray(disc).convert("RGB")))
    assert not says_nothing(phash(Image.fromarray(noise).resize((640, 480)).convert("RGB")))


def test_hashes_may_be_signed_or_not():
    """The catalog's are; the most significant bit counts once."""
    assert says_nothing(-(1 << 63)) is says_nothing(1 << 63) is True
    assert not says_nothing(-1)
    assert (True, False) == (says_nothing(0xFF), says_nothing(0x1FF))
