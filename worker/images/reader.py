"""Bytes to a picture and its metadata, in one call."""

from __future__ import annotations

import hashlib
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, Final

from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from worker.images.cost import canvas_cost, cost, jpeg2000_reduction
from worker.images.decoder import checked_canvas, identify, load, open_header, rejecting
from worker.images.exif import ExifFields, read_exif
from worker.images.formats import with_known_brand
from worker.images.isolated_decoder import Reserve, decode_apart
from worker.images.limits import ImageLimits
from worker.images.phash import phash
from worker.images.pixels import Depth, prepare, upright
from worker.images.sides import Sides
from worker.images.structure import MOST_FRAMES, gif_frames, tiff_frames
from worker.images.tiff_pages import depth_of, picture_first
from worker.images.values import DecodedImage
from worker.types import ImageMetadata

_REDUCED, _FULL = "draft-and-box-2x/2", "full/2"
_LARGEST_PROFILE: Final = 4 << 20  # bytes

#: Formats whose headers do not say what decoding may take: items and tiles may be decoded any number of times.
_ALWAYS_APART: Final = frozenset(("HEIF", "AVIF", "JPEG2000"))
#: What may certainly be decoded within these seconds, on a slow core, is decoded in the thread that asks.
_MOST_SECONDS_HERE: Final = 2.0


def decoding(min_side: int | None) -> str:
    """Identifies how files become pixels; changes whenever vectors could. Part of a space's preprocessing digest."""
    return _REDUCED if min_side else _FULL


def _unbounded(_: int) -> AbstractContextManager[object]:
    return nullcontext()


def read_image(
    data: bytes, *, limits: ImageLimits, min_side: int | None, also: int | None = None, reserve: Reserve = _unbounded
) -> DecodedImage:
    """Decode one file, in a separate process if it may be costly. Thread-safe.

    Args:
        data: the whole file.
        limits: checked against the header, before any pixel is decoded.
        min_side: the model's input size in pixels. Larger pictures are decoded smaller, with a shorter side of at least
            twice this, which is faster and far smaller in memory. None decodes at full size.
        also: another such size that the picture is needed at. ``DecodedImage.also`` is then what ``pixels`` would be
            for it, where one run of the decoder serves both; else None, and the file must be read again.
        reserve: may wait until there is memory for the decoder; called once the limits allow the picture.

    Returns:
        The first frame (of HEIF: the primary picture). Width and height in the metadata are those of the full picture.

    Raises:
        ImageRejectedError: the bytes cannot become a picture. Its reason is one of ``EMPTY``, ``NOT_AN_IMAGE``,
            ``UNSUPPORTED_FORMAT``, ``TRUNCATED``, ``CORRUPT``, ``TOO_MANY_BYTES``, ``TOO_MANY_PIXELS``,
            ``SIDE_TOO_LONG``, ``TOO_MUCH_WORK`` and, if a decoder crashes, ``KILLED_WORKER``.
        DecoderLostError: the process in which a costly picture was decoded is gone; trying again may help.
    """
    limits.check_bytes(len(data))
    format_name = identify(data)
    if format_name not in _ALWAYS_APART:
        sides = Sides(min_side=min_side, also=also)
        decoded = _decode(data, format_name, limits, sides, reserve, most_seconds=_MOST_SECONDS_HERE)
        if decoded is not None:
            return decoded
    return decode_apart(data, limits=limits, min_side=min_side, also=also, reserve=reserve)


def decode(
    data: bytes, *, limits: ImageLimits, min_side: int | None, also: int | None = None, reserve: Reserve = _unbounded
) -> DecodedImage:
    """``read_image`` in this thread, however long it takes."""
    limits.check_bytes(len(data))
    sides = Sides(min_side=min_side, also=also)
    decoded = _decode(data, identify(data), limits, sides, reserve, most_seconds=math.inf)
    assert decoded is not None  # noqa: S101  # nothing takes longer
    return decoded


def _decode(
    data: bytes, format_name: str, limits: ImageLimits, sides: Sides, reserve: Reserve, *, most_seconds: float
) -> DecodedImage | None:
    """Like ``read_here``, or None without decoding if that may take longer than ``most_seconds``."""
    whole, data = data, picture_first(data) if format_name == "TIFF" else with_known_brand(data, format_name)
    if format_name == "WEBP":
        return _decode_webp(data, limits, sides, reserve, most_seconds=most_seconds)
    header = open_header(data, format_name, limits, most_seconds=most_seconds)
    if header is None or (needed := cost(header, data, format_name, min_side=sides.min_side)).seconds > most_seconds:
        return None
    with reserve(needed.memory + sides.memory(header.image.size)):
        return _read(data, format_name, header.image, limits=limits, sides=sides, whole=whole)


def _decode_webp(
    data: bytes, limits: ImageLimits, sides: Sides, reserve: Reserve, *, most_seconds: float
) -> DecodedImage | None:
    """The decoder allocates memory for the whole picture when it opens a file."""
    canvas = checked_canvas(data, limits)
    needed = canvas_cost(data, *canvas, min_side=sides.min_side)
    if needed.seconds > most_seconds:
        return None
    with reserve(needed.memory + sides.memory(canvas)):
        header = open_header(data, "WEBP", limits, most_seconds=most_seconds)
        if header is None:
            return None
        return _read(data, "WEBP", header.image, limits=limits, sides=sides, whole=data)


def _read(
    data: bytes, format_name: str, image: Image.Image, *, limits: ImageLimits, sides: Sides, whole: bytes
) -> DecodedImage:
    size, mode, min_side = image.size, image.mode, sides.min_side
    if isinstance(image, Jpeg2KImageFile):
        image.reduce = jpeg2000_reduction(data, size, min_side=min_side)
    opened, image = image, load(image, data, format_name, min_side=min_side)
    if isinstance(image, Jpeg2KImageFile):
        image.reduce = 0  # a number would hide the method of that name
    if format_name == "HEIF" and image.size != size:  # libheif goes by the coded picture, where the file errs
        size = image.size
        limits.check_size(*size)
    with rejecting(data, format_name):
        fields = read_exif(data if format_name == "TIFF" else _exif_block(image))
        turn = 1 if format_name == "TIFF" else fields.orientation  # Pillow turns TIFFs upright itself
        depth = depth_of(data) if format_name == "TIFF" else Depth()
        pixels = upright(prepare(image, min_side=min_side, depth=depth), turn)
        also = None
        if sides.share_a_run(data, format_name, size):
            same = sides.are_same(image.size)
            also = pixels if same else upright(prepare(image, min_side=sides.also, depth=depth), turn)
        return DecodedImage(
            pixels=pixels,
            profile=_rgb_profile(image),
            also=also,
            metadata=ImageMetadata(
                width=size[1] if turn >= 5 else size[0],  # noqa: PLR2004 - orientations 5 to 8 lie on their side
                height=size[0] if turn >= 5 else size[1],  # noqa: PLR2004
                format=image.format or format_name,
                mode=mode,
                frames=_frames(opened, whole, format_name),
                sha256=hashlib.sha256(whole).hexdigest(),
                phash=phash(pixels),
                **_fields(fields, image),
            ),
        )


def _fields(fields: ExifFields, image: Image.Image) -> dict[str, Any]:
    # libheif turns the picture itself and the plugin resets the tag, keeping what it was.
    original = image.info.get("original_orientation")
    flat = asdict(fields)
    exposure: dict[str, Any] = flat.pop("exposure")
    return flat | exposure | ({"orientation": original} if original in range(1, 9) else {})


def _rgb_profile(image: Image.Image) -> bytes | None:
    """The ICC profile of a picture, if it is one of RGB (source: ICC.1:2022, 7.2.6), and of a usual size."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and len(profile) <= _LARGEST_PROFILE and profile[16:20] == b"RGB ":
        return profile
    return None


def _exif_block(image: Image.Image) -> bytes | None:
    block = image.info.get("exif")
    if isinstance(block, bytes):
        return block
    return _imagemagick_exif(image.info.get("Raw profile type exif"))


def _imagemagick_exif(text: object) -> bytes | None:
    """EXIF as ImageMagick puts it into PNG text: a name, a length, then lines of hexadecimal digits."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None


def _frames(image: Image.Image, data: bytes, format_name: str) -> int:
    if format_name == "GIF":  # Pillow would walk every frame, however many there are
        return max(1, gif_frames(data))
    if format_name == "TIFF":
        return max(1, tiff_frames(data))
    return min(max(1, int(getattr(image, "n_frames", 1))), MOST_FRAMES)
