"""Previews: small WebP files of pictures, upright, in sRGB, without metadata."""

from __future__ import annotations

import enum
import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from PIL import Image, ImageCms


class PreviewSize(enum.IntEnum):
    """Pixels of the longer side."""

    THUMBNAIL = 256
    PREVIEW = 512


THUMBNAIL, PREVIEW = PreviewSize
#: Raise when the same picture becomes other bytes: part of the names that previews are stored under, and of ETags.
VERSION: Final = 1
#: ``min_side`` of `read_image` for a preview: the shorter side then has at least 512 pixels, or all that there are.
MIN_SIDE: Final = 256
MEDIA_TYPE: Final = "image/webp"

_QUALITY: Final[dict[int, int]] = {THUMBNAIL: 80, PREVIEW: 95}
#: Of 0 to 6. At this quality, 2 takes half as much time again and saves 1 % of the bytes (bench.previews, 17 photos).
_METHOD: Final = 0
_HEADER: Final = 12  # bytes: RIFF, the length of the rest, WEBP


def encode(picture: Image.Image, profile: bytes | None) -> Mapping[int, bytes]:
    """The previews of a picture: size → WebP file. A picture is never enlarged.

    Args:
        picture: mode RGB, upright; at least twice ``MIN_SIDE`` pixels on its shorter side, where the file has them.
        profile: ICC profile of its samples; None: they are sRGB.
    """
    large = _in_srgb(_within(picture, PREVIEW), profile)
    return {PREVIEW: _webp(large, PREVIEW), THUMBNAIL: _webp(_within(large, THUMBNAIL), THUMBNAIL)}


def is_whole(data: bytes) -> bool:
    """Whether a stored preview has all its bytes, by its header: a crash may leave an empty or short file."""
    length = int.from_bytes(data[4:8], "little") + 8
    return len(data) == length > _HEADER and data[:4] == b"RIFF" and data[8:_HEADER] == b"WEBP"


def _within(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(each * scale)) for each in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _webp(picture: Image.Image, size: int) -> bytes:
    out = io.BytesIO()
    # Pillow copies profiles and EXIF from `info` unless told otherwise.
    picture.save(out, "WEBP", quality=_QUALITY[size], method=_METHOD, icc_profile=b"", exif=b"", xmp=b"")
    return out.getvalue()


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with sRGB samples; unchanged where its profile cannot be used, as by a viewer that ignores it."""
    transform = None if profile is None else _to_srgb(profile)
    return picture if transform is None else transform.apply(picture)


@lru_cache(16)
def _to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        return ImageCms.ImageCmsTransform(source, target, "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
