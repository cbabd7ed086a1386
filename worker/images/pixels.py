"""Converts any decoded picture to the one form that the product uses: upright 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

_WHITE: Final = (255, 255, 255)
_ALPHA_MODES: Final = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
_CAN_BE_KEYED: Final = frozenset(("1", "L", "P", "RGB"))  # transparency by a key colour or by palette entry

_SHRUNK_FIRST: Final = frozenset(("1", "L", "LA", "RGBA"))  # Pillow weighs colours by alpha when it averages

#: What white is in floats, which do not say: the first of these that no sample exceeds. They are mostly 0..1.
_WHITES_OF_FLOATS: Final = (1.0, 255, 65_535)

#: EXIF orientation to the transposition that makes the picture upright. Source: CIPA DC-008, 4.6.5.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """What samples of more than 8 bits mean, where the decoder hands them over as they are."""

    whites: tuple[int, ...] = (65_535,)  # of integers: white is the first that no sample exceeds, or else the largest
    stretched: bool = False  # from the smallest sample to the largest, as are all that are below 0
    inverted: bool = False  # 0 is white
    unsigned: bool = False  # 32 bits that the decoder takes for signed
    swapped: str | None = None  # numpy's name of samples whose bytes the decoder has in the wrong order
    void: int | None = None  # the smallest of signed samples, which says that there is none


def prepare(image: Image.Image, *, min_side: int | None, depth: Depth) -> Image.Image:
    """8-bit RGB, shrunk for a model; where possible before it is converted, since RGB takes more memory."""
    if "transparency" not in image.info and image.mode in _SHRUNK_FIRST:
        image = shrink(image.convert("L") if image.mode == "1" else image, min_side=min_side)
    return shrink(to_rgb(image, depth=depth), min_side=min_side)


def to_rgb(image: Image.Image, *, depth: Depth) -> Image.Image:
    """8-bit RGB: alpha over white, deep samples scaled, palettes and inks converted.

    Args:
        image: a loaded picture of any mode.
        depth: what its samples mean if they are deep.
    """
    if image.mode in _ALPHA_MODES or (image.mode in _CAN_BE_KEYED and "transparency" in image.info):
        return _on_white(image)
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _deep_to_rgb(image, depth)
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def shrink(image: Image.Image, *, min_side: int | None) -> Image.Image:
    """Average whole blocks of pixels while the shorter side stays at least twice ``min_side``.

    What a model of input size ``min_side`` sees hardly changes, and a batch of large pictures stays small.
    """
    factor = shrink_factor(image.size, min_side)
    return image.reduce(factor) if factor > 1 else image


def shrink_factor(size: tuple[int, int], min_side: int | None) -> int:
    """The side of the blocks of ``shrink``, in pixels; 1: it leaves the picture as it is."""
    return max(1, min(size) // (2 * min_side)) if min_side else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo the rotation and mirroring of an EXIF orientation."""
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    canvas = Image.new("RGB", rgba.size, _WHITE)
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    return canvas


def _deep_to_rgb(image: Image.Image, depth: Depth) -> Image.Image:
    stored = np.asarray(image)
    samples = stored.astype(depth.swapped, copy=False).byteswap() if depth.swapped else stored
    samples = samples.view(np.uint32) if depth.unsigned and samples.dtype == np.int32 else samples
    grey = _to_bytes(samples, *_range(samples, depth))
    if depth.inverted:
        np.subtract(255, grey, out=grey)
    keyed = image.info.get("transparency")
    if isinstance(keyed, int):
        grey[samples == keyed] = 255
    return Image.fromarray(grey).convert("RGB")


def _range(samples: npt.NDArray[np.generic], depth: Depth) -> tuple[float, float]:
    """Black and white."""
    if samples.dtype.kind == "f":
        largest = float(np.nanmax(samples, initial=0, where=np.isfinite(samples)))
        return 0.0, next((white for white in _WHITES_OF_FLOATS if largest <= white), largest)
    lowest, largest = int(samples.min()), int(samples.max())
    if lowest < 0 or depth.stretched:
        return int(samples.min(initial=largest, where=samples != depth.void)), largest
    return 0, next((white for white in depth.whites if largest <= white), largest)


def _to_bytes(samples: npt.NDArray[np.generic], black: float, white: float) -> npt.NDArray[np.uint8]:
    """Samples black..white to 0..255, a band of rows at a time: the whole picture as floats would not fit."""
    grey = np.empty(samples.shape, np.uint8)
    rows = max(1, (1 << 22) // max(1, samples.shape[1]))
    span = np.float32(white - black) or np.float32(1)
    for top in range(0, samples.shape[0], rows):
        band = np.nan_to_num(samples[top : top + rows].astype(np.float32), nan=0.0)
        grey[top : top + rows] = np.rint(np.clip((band - np.float32(black)) / span, 0, 1) * 255)
    return grey


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    if converted is None:  # only ever so when converting in place
        raise ValueError("LAB picture was not converted")
    return converted
