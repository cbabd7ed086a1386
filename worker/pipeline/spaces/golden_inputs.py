"""Fixed inputs and the vectors a model produces for them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.encoder import Encoder, Pixels
from worker.images import ImageLimits
from worker.pipeline.pictures.decode_picture import decode_picture
from worker.types import Floats

_Values = npt.NDArray[np.float64]

#: Large enough for any picture here.
_LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1 << 24, max_side=1 << 14)
#: A JPEG is shipped as bytes because encoders differ. It tests the decoder, and that large JPEGs are halved.
_JPEG = Path(__file__).with_name("golden.jpg")

TEXTS = (
    "a photo of a dog",
    "a street at night, in the rain",
    "Ein Brief, mit der Schreibmaschine geschrieben",
    "7 red circles & 2 blue squares",
    "x" * 500,  # longer than any context: where it is truncated matters, too
)


@lru_cache(maxsize=1)
def pictures() -> dict[str, bytes]:
    """Files by name. The arithmetic is exact or its rounding is far below a sample's step: the same pixels anywhere."""
    return {f"{name}.png": _png(draw()) for name, draw in _DRAWINGS.items()} | {"scene.jpg": _JPEG.read_bytes()}


def preprocessed(encoder: Encoder) -> dict[str, Pixels]:
    """The pictures decoded and preprocessed exactly like uploads."""
    return {name: decode_picture(data, encoder=encoder, limits=_LIMITS)[1] for name, data in pictures().items()}


def picture_vectors(encoder: Encoder, pixels: Mapping[str, Pixels]) -> dict[str, Floats]:
    """``[dimension]`` of unit length for each preprocessed picture's name."""
    return dict(zip(pixels, encoder.encode_images(list(pixels.values())), strict=True))


def text_vectors(encoder: Encoder) -> dict[str, Floats]:
    """``[dimension]`` of unit length for each text's name."""
    return {f"text {number}": row for number, row in enumerate(encoder.encode_texts(TEXTS), 1)}


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[_Values, _Values]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    return rows, columns


def _rings() -> _Values:
    """A zone plate: every frequency in one picture, so that another filter or size changes it."""
    y, x = _grid(480, 640)
    value = 127.5 + 127.5 * np.cos(((x - 320) ** 2 + (y - 240) ** 2) / 400)
    return np.stack([value, 255 - value, value / 2], axis=-1)


def _blocks() -> _Values:
    """Portrait format, hard edges, saturated colours: reveals another crop or channel order."""
    y, x = _grid(700, 400)
    cell = (x // 50 + 3 * (y // 70)).astype(int)
    return np.stack([cell * 37 % 256, cell * 91 % 256, cell * 151 % 256], axis=-1).astype(np.float64)


def _horizon() -> _Values:
    """A sky, a sun and fields: what models know."""
    y, x = _grid(450, 600)
    sky = np.stack([120 + y / 6, 160 + y / 6, 250 - y / 8], axis=-1)
    fields = np.stack([60 + x / 12, 120 + (x + y) % 40, np.full_like(x, 40)], axis=-1)
    above, sun = 260 - y > 0, 50**2 - (x - 430) ** 2 - (y - 90) ** 2 > 0
    return np.where(sun[..., None], [255.0, 244.0, 200.0], np.where(above[..., None], sky, fields))


_DRAWINGS: dict[str, Callable[[], _Values]] = {"rings": _rings, "blocks": _blocks, "horizon": _horizon}


def _png(values: _Values) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
