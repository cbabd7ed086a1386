"""Synthetic pages: the same for the same seed, and always showing what they are said to show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("matplotlib", reason="pip install 'image-enricher[training]'")

from training import pages, scans, vocabulary

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [*pages.COUNTS])
def test_a_page_is_the_same_for_the_same_seed(kind: str):
    """And another one for another."""
    first, again, other = (pages.render(kind, (7, number)) for number in (1, 1, 2))

    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_every_kind_is_taught():
    """Each has captions and tags in the vocabulary."""
    assert set(pages.COUNTS) <= set(vocabulary.FOLDERS)


def test_a_photographed_part_shows_ink():
    """However little of the page has any: an empty part would teach that nothing is text."""
    page = Image.new("RGB", (720, 1000), "white")
    ImageDraw.Draw(page).rectangle((40, 40, 400, 320), fill="black")
    parts = [scans.photographed(np.random.default_rng(seed), page) for seed in range(12)]

    darkest = [np.asarray(part.convert("L")).astype(int).min() for part in parts]
    brightest = [np.asarray(part.convert("L")).astype(int).max() for part in parts]
    assert all(bright - dark > 40 for bright, dark in zip(brightest, darkest, strict=True))


def test_light_keeps_the_size_and_changes_the_tone():
    """A white page under a lamp is neither white nor even."""
    white = Image.new("RGB", (80, 60), "white")
    seen = scans.lit(np.random.default_rng(3), white)

    assert (white.size, "RGB") == (seen.size, seen.mode)
    assert np.asarray(seen).std() > 1
