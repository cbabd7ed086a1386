"""What a camera or a worn scanner makes of a page: a part of it, tilted, unevenly lit, of little contrast, grey."""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.ink import Pixels, natural_texture

_TRIES = 4


def photographed(rng: np.random.Generator, page: Image.Image) -> Image.Image:
    """A part of the page that has ink on it, seen at an angle in uneven light."""
    parts = [_part(rng, page) for _ in range(_TRIES)]
    return lit(rng, max(parts, key=lambda part: float(np.asarray(part.convert("L")).std())))


def lit(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Light that falls off to one side, shadows, faded ink and a noisy sensor."""
    rows, columns = np.mgrid[0 : image.height, 0 : image.width]
    down, right = rng.uniform(-0.4, 0.4, 2)
    light = rng.uniform(0.6, 1) + down * (rows / image.height - 0.5) + right * (columns / image.width - 0.5)
    shadow = Image.fromarray(natural_texture(rng, 32, colour=False)[..., 0]).resize(
        image.size, Image.Resampling.BICUBIC
    )
    light += rng.uniform(0, 0.3) * (np.asarray(shadow) / 255 - 0.5)
    seen = image.convert("L").convert("RGB") if rng.random() < 0.6 else image  # noqa: PLR2004 - grey as often as not
    faded = rng.uniform(0, 0.5)
    pixels = 255 * (faded + (1 - faded) * np.asarray(seen) / 255) * light[..., None]
    pixels += rng.normal(0, rng.uniform(0, 8), (image.height, image.width, 1))
    exposed: Pixels = pixels.clip(0, 255).astype(np.uint8)
    return Image.fromarray(exposed)


def _part(rng: np.random.Generator, page: Image.Image) -> Image.Image:
    """A window of any shape, its corners moved as perspective and tilt move them."""
    wide = page.width * rng.uniform(0.3, 1)
    high = min(page.height, wide * rng.uniform(0.35, 1.5))
    left, top = rng.uniform(0, page.width - wide + 1), rng.uniform(0, page.height - high + 1)
    corners = np.array([(left, top), (left, top + high), (left + wide, top + high), (left + wide, top)])
    corners += rng.normal(0, 0.025, (4, 2)) * (wide, high)
    corners = corners.clip((0, 0), page.size)
    size = round(wide), round(high)
    return page.transform(size, Image.Transform.QUAD, tuple(corners.ravel().tolist()), Image.Resampling.BICUBIC)
