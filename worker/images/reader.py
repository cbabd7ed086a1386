"""One call from bytes to a picture and what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from PIL import Image

from worker.images.decoder import decoder_bytes, identify, load, open_header, rejecting
from worker.images.exif import ExifFields, read_exif
from worker.images.limits import ImageLimits
from worker.images.phash import phash
from worker.images.pixels import prepare, upright
from worker.images.structure import MOST_FRAMES, gif_frames, tiff_frames
from worker.images.tiff import Tiff
from worker.types import ImageMetadata

_REDUCED, _FULL = "draft-and-box-2x/1", "full/1"

#: Called with the bytes that decoding a picture takes at most; they are in use while the block runs.
Reserve: TypeAlias = Callable[[int], AbstractContextManager[object]]

_BITS_PER_SAMPLE: Final = 258


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedImage:
    """A picture, ready for an encoder."""

    pixels: Image.Image  # mode RGB, upright, alpha over white; perhaps smaller than ``metadata`` says, see read_image
    metadata: ImageMetadata


def decoding(min_side: int | None) -> str:
    """Names how files become pixels; changes whenever vectors could. Belongs into a space's preprocessing digest."""
    return _REDUCED if min_side else _FULL


def _unbounded(_: int) -> AbstractContextManager[object]:
    return nullcontext()


def read_image(
    data: bytes, *, limits: ImageLimits, min_side: int | None, reserve: Reserve = _unbounded
) -> DecodedImage:
    """Decode one file. Safe to call from any number of threads.

    Args:
        data: the whole file.
        limits: checked against the header, before any pixel is decoded.
        min_side: the model's input size in pixels. Larger pictures are decoded smaller, with a shorter side of at least
            twice this, which is faster and far smaller in memory. None decodes at full size.
        reserve: may wait until there is memory for the decoder; called once the limits allow the picture.

    Returns:
        The first frame (of HEIF: the primary picture). Width and height in the metadata are those of the full picture.

    Raises:
        ImageRejectedError: the bytes cannot become a picture. Its reason is one of ``EMPTY``, ``NOT_AN_IMAGE``,
            ``UNSUPPORTED_FORMAT``, ``TRUNCATED``, ``CORRUPT``, ``TOO_MANY_BYTES``, ``TOO_MANY_PIXELS`` and
            ``SIDE_TOO_LONG``. Nothing else is raised.
    """
    limits.check_bytes(len(data))
    format_name = identify(data)
    header = open_header(data, format_name, limits)
    with reserve(decoder_bytes(header, format_name, min_side=min_side)):
        return _read(data, format_name, header, limits=limits, min_side=min_side)


def _read(
    data: bytes, format_name: str, header: Image.Image, *, limits: ImageLimits, min_side: int | None
) -> DecodedImage:
    size, mode = header.size, header.mode
    image = load(header, data, format_name, min_side=min_side)
    if format_name == "HEIF" and image.size != size:  # libheif goes by the coded picture, where the file errs
        size = image.size
        limits.check_size(*size)
    with rejecting(data, format_name):
        fields = read_exif(data if format_name == "TIFF" else _exif_block(image))
        turn = 1 if format_name == "TIFF" else fields.orientation  # Pillow turns TIFFs upright itself
        pixels = upright(prepare(image, min_side=min_side, white=_white(data, format_name)), turn)
        return DecodedImage(
            pixels=pixels,
            metadata=ImageMetadata(
                width=size[1] if turn >= 5 else size[0],  # noqa: PLR2004 - orientations 5 to 8 lie on their side
                height=size[0] if turn >= 5 else size[1],  # noqa: PLR2004
                format=image.format or format_name,
                mode=mode,
                frames=_frames(image, data, format_name),
                sha256=hashlib.sha256(data).hexdigest(),
                phash=phash(pixels),
                **_fields(fields, image),
            ),
        )


def _fields(fields: ExifFields, image: Image.Image) -> dict[str, Any]:
    # libheif turns the picture itself and the plugin resets the tag, keeping what it was.
    original = image.info.get("original_orientation")
    return asdict(fields) | ({"orientation": original} if original in range(1, 9) else {})


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


def _white(data: bytes, format_name: str) -> int:
    """The sample that means white in a 16-bit mode: TIFFs may hold 12-bit samples, which Pillow does not scale."""
    tiff = Tiff.parse(data) if format_name == "TIFF" else None
    bits = tiff.integers(tiff.directory(tiff.first).entries.get(_BITS_PER_SAMPLE))[:1] if tiff else ()
    return 4095 if bits == (12,) else 65_535


def _frames(image: Image.Image, data: bytes, format_name: str) -> int:
    if format_name == "GIF":  # Pillow would walk every frame, however many there are
        return max(1, gif_frames(data))
    if format_name == "TIFF":
        return max(1, tiff_frames(data))
    return min(max(1, int(getattr(image, "n_frames", 1))), MOST_FRAMES)
