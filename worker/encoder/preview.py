"""Turns preprocessed pixels back into a picture: what a model saw."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from worker.encoder.interface import Pixels

if TYPE_CHECKING:
    from PIL import Image


def as_picture(pixels: Pixels) -> Image.Image:
    """Preprocessed pixels → RGB, as large as the model takes it.

    uint8 ``[3, H, W]`` is shown as it is. Of float32 pixels, in one piece or in patches ``[rows, columns, values]``,
    each colour is stretched to its whole range: they are normalised, and by what is the model's own affair.
    """
    from PIL import Image

    rows = pixels if pixels.shape[0] == 3 else _without_patches(pixels)  # noqa: PLR2004
    shown = rows if rows.dtype == np.uint8 else _stretched(rows)
    return Image.fromarray(np.ascontiguousarray(shown.transpose(1, 2, 0)), "RGB")


def _without_patches(pixels: Pixels) -> Pixels:
    """``[rows, columns, side × side × 3]`` → ``[3, rows × side, columns × side]``, as NaFlex cuts them."""
    rows, columns, values = pixels.shape
    side = math.isqrt(values // 3)
    whole: Pixels = pixels.reshape(rows, columns, side, side, 3).transpose(4, 0, 2, 1, 3)
    return whole.reshape(3, rows * side, columns * side)


def _stretched(pixels: Pixels) -> Pixels:
    low, high = pixels.min(axis=(1, 2), keepdims=True), pixels.max(axis=(1, 2), keepdims=True)
    stretched: Pixels = ((pixels - low) / np.maximum(high - low, 1e-12) * 255).round().astype(np.uint8)
    return stretched
