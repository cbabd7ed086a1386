"""Pictures that are neither pages nor scenes: surfaces that fill the frame, and things on a plain ground.

Without them grey and texture mean "page", because nothing else in the training data is grey or flat.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.ink import Pixels, natural_texture
from worker.types import Floats

_SIDE = 160


def surface(rng: np.random.Generator) -> Image.Image:
    """Bricks, pebbles, checks, weave or plain noise, lit unevenly."""
    pattern = (_bricks, _pebbles, _checks, _weave, _noise)[rng.integers(5)](rng)
    return _toned(rng, pattern, grain=rng.uniform(0, 0.6))


def things(rng: np.random.Generator) -> Image.Image:
    """One body or many, round or ragged, before a ground that is dark, light or grey: coins, cells, planets, stars."""
    count = int(rng.choice((1, 3, 12, 40, 150), p=(0.3, 0.2, 0.2, 0.2, 0.1)))
    reach = rng.uniform(0.5, 1) * 0.42 / np.sqrt(count)
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    ground, body = rng.permutation((rng.uniform(-1.5, -0.5), rng.uniform(0.3, 1.5)))
    picture = np.full((_SIDE, _SIDE), ground)
    for y, x in rng.uniform(0.15, 0.85, (count, 2)) if count > 1 else [(0.5, 0.5)]:
        angle = np.arctan2(rows - y, columns - x)
        ragged = 1 + rng.uniform(0, 0.25) * np.sin(rng.integers(2, 9) * angle + rng.uniform(0, 6))
        distance = np.hypot(rows - y, columns - x) / (reach * rng.uniform(0.5, 1) * ragged)
        shade = body + rng.uniform(-0.6, 0.6) * (columns - x) / reach
        picture = np.where(distance < 1, shade, picture)
    return _toned(rng, picture, grain=rng.uniform(0, 0.35))


def _bricks(rng: np.random.Generator) -> Floats:
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE * rng.uniform(4, 16)
    shifted = columns / rng.uniform(1.5, 3) + 0.5 * (np.floor(rows) % 2)
    joint = (rows % 1 < 0.12) | (shifted % 1 < 0.05)  # noqa: PLR2004
    tint = rng.normal(0, 0.4, (64, 64))[np.floor(rows).astype(int), np.floor(shifted).astype(int)]
    bricks: Floats = np.where(joint, rng.choice((-1.5, 1.5)), tint).astype(np.float32)
    return bricks


def _pebbles(rng: np.random.Generator) -> Floats:
    seeds = rng.uniform(-0.1, 1.1, (int(rng.integers(30, 300)), 2)) * _SIDE
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE].reshape(2, -1, 1)
    squared = np.sort((rows - seeds[:, 0]) ** 2 + (columns - seeds[:, 1]) ** 2, axis=1)[:, :2]
    nearest, second = np.sqrt(squared).T
    shape: Floats = ((second - nearest) / (second + 1)).reshape(_SIDE, _SIDE).astype(np.float32)
    return shape


def _checks(rng: np.random.Generator) -> Floats:
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE * rng.uniform(2, 20)
    squares = np.floor(rows) + np.floor(columns) if rng.random() < 0.7 else np.floor(rows + columns)  # noqa: PLR2004
    checks: Floats = (squares % 2 * 2 - 1).astype(np.float32)
    return checks


def _weave(rng: np.random.Generator) -> Floats:
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE * 2 * np.pi
    first, second, third, fourth = rng.uniform(-40, 40, 4)
    weave: Floats = (np.sin(first * rows + second * columns) + np.sin(third * rows + fourth * columns)).astype(
        np.float32
    )
    return weave


def _noise(rng: np.random.Generator) -> Floats:
    noise: Floats = natural_texture(rng, _SIDE, colour=False)[..., 0].astype(np.float32)
    return noise


def _toned(rng: np.random.Generator, pattern: Floats, *, grain: float) -> Image.Image:
    """Add noise and uneven light; grey or of one hue."""
    noise = natural_texture(rng, _SIDE, colour=False)[..., 0] / 127 - 1
    fine = rng.normal(0, rng.uniform(0, 0.3), pattern.shape)
    light = pattern / (pattern.std() + 1e-6) + 2 * grain * noise + fine
    grey = rng.uniform(70, 180) + rng.uniform(15, 55) * (light - light.mean())
    hue = rng.uniform(0.6, 1.1, 3) if rng.random() < 0.6 else np.ones(3)  # noqa: PLR2004
    pixels: Pixels = (grey[..., None] * hue).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((448, round(448 * rng.uniform(0.6, 1.4))), Image.Resampling.BICUBIC)
