"""Pillow, fenced in: formats by allow-list, limits from the header, and every failure a reason.

Pillow's switches are process-wide, so they are set here and nowhere else. ``LOAD_TRUNCATED_IMAGES`` is never touched:
half a picture with a grey rest would be tagged as if it were whole.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import AvifImagePlugin, Image, UnidentifiedImageError

from worker.errors import ImageRejectedError
from worker.images.av1 import coded_sizes
from worker.images.formats import describe, readable_formats, sniff
from worker.images.limits import ImageLimits
from worker.images.structure import ends_early, jpeg_exif_segments, jpeg_scans, webp_size, without_png_text
from worker.images.tiff import MOST_ENTRIES, Directory, Tiff
from worker.types import Reason

_UNSUPPORTED: Final = re.compile(
    r"cannot handle|unknown pixel mode|unknown data organization|unsupported|not (yet )?supported", re.IGNORECASE
)
_THIRD_PARTIES: Final = r"PIL\.|pillow_heif\."
_pillow_lock = threading.Lock()
# Without a handler of its own, Pillow's log of a bad TIFF would reach stderr beside the structured logs.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# JPEG: Pillow joins all EXIF segments and reads the resolution from them, value by value.
_MOST_EXIF_SEGMENTS: Final = 16

# TIFF: Pillow turns all values of some tags into Python objects.
_MOST_STRIPS: Final = 1 << 20
_MOST_VALUES: Final = 1 << 18  # a colour map of 16-bit samples has 3 << 16
_STRIP_TAGS: Final = frozenset((273, 279, 324, 325))
_BYTE_KINDS: Final = frozenset((1, 2, 6, 7))  # stay bytes in Pillow
_DIRECTORY_TAGS: Final = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, interoperability
_COPIES: Final = 3  # of a whole picture at the same time, at most
_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_DIRECTORIES = 50706, 254, 330


def identify(data: bytes) -> str:
    """The format of a file that can be read.

    Raises:
        ImageRejectedError: ``NOT_AN_IMAGE`` or ``UNSUPPORTED_FORMAT``.
    """
    head = data[:4096]
    name = sniff(head)
    if name is None:
        message = f"not an image but {describe(head)}; upload the picture itself, or rename the object"
        raise ImageRejectedError(Reason.NOT_AN_IMAGE, message)
    if name not in readable_formats():
        raise ImageRejectedError(Reason.UNSUPPORTED_FORMAT, f"{name} cannot be read; {_convert()}")
    return name


def open_header(data: bytes, format_name: str, limits: ImageLimits) -> Image.Image:
    """Read the header only, and refuse what the limits forbid.

    Raises:
        ImageRejectedError: see ``read_image``.
    """
    _prepare_pillow(limits.max_pixels)
    _check_tags(data, format_name)
    if format_name == "WEBP" and (canvas := webp_size(data)) is not None:
        limits.check_size(*canvas)
    if format_name == "AVIF":
        for coded in coded_sizes(data):
            limits.check_size(*coded)
    with rejecting(data, format_name):
        image = _open(data, format_name)
    limits.check_size(*image.size)
    if image.info.get("progressive"):
        limits.check_scans(jpeg_scans(data), *image.size)
    return image


def decoder_bytes(image: Image.Image, format_name: str, *, min_side: int | None) -> int:
    """What decoding and converting this picture takes at most, judged by its header. Pillow keeps four bytes a pixel.

    A JPEG is decoded by rows to its final size; a progressive one keeps all its coefficients until then, two bytes for
    each sample. Others are whole in the decoder, once more in Pillow, and once more while they are converted.
    """
    pixels = image.width * image.height
    if format_name != "JPEG":
        return _COPIES * 4 * pixels
    scale = _draft_scale(image.size, 2 * min_side) if min_side else 1
    coefficients = 6 * pixels if image.info.get("progressive") else 0
    return _COPIES * 4 * pixels // scale**2 + coefficients


def _draft_scale(size: tuple[int, int], side: int) -> int:
    return max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(size) >= scale * side)


def load(image: Image.Image, data: bytes, format_name: str, *, min_side: int | None) -> Image.Image:
    """Decode the first frame; a JPEG at 1/2, 1/4 or 1/8 where its shorter side stays at least twice ``min_side``.

    Raises:
        ImageRejectedError: ``TRUNCATED``, ``CORRUPT`` or ``UNSUPPORTED_FORMAT``.
    """
    with rejecting(data, format_name):
        if format_name == "JPEG" and min_side:
            image.draft("RGB", (2 * min_side, 2 * min_side))
        try:
            image.load()
        except ValueError as error:
            if not _is_text_bomb(error, format_name):
                raise
            image = _open(without_png_text(data), format_name)
            image.load()
        return image


@contextmanager
def rejecting(data: bytes, format_name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a reason. Decoders raise anything: all of it is about these bytes."""
    try:
        yield
    except ImageRejectedError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = next((f"{int(n):,}" for n in re.findall(r"\((\d+) pixels\)", str(error))), "too many")
        message = f"decoding takes {pixels} pixels; upload a smaller copy, or raise ENRICH_MAX_PIXELS and retry"
        raise ImageRejectedError(Reason.TOO_MANY_PIXELS, message) from error
    except MemoryError as error:
        # Linux refuses only sizes that could never fit, so trying again on this machine would end the same way.
        message = "decoding needs more memory than there is; upload a smaller copy, or lower ENRICH_MAX_PIXELS"
        raise ImageRejectedError(Reason.TOO_MANY_PIXELS, message) from error
    except Exception as error:
        raise _rejection(error, data, format_name) from error


def _rejection(error: Exception, data: bytes, format_name: str) -> ImageRejectedError:
    words = _words(error)
    if ends_early(format_name, data):
        message = f"the {format_name} file ends before its picture does ({len(data):,} bytes): {words}"
        return ImageRejectedError(Reason.TRUNCATED, f"{message}; it was cut short on its way, upload it again")
    if _UNSUPPORTED.search(words) or isinstance(error.__cause__, KeyError):
        return ImageRejectedError(Reason.UNSUPPORTED_FORMAT, f"a {format_name} of a rare kind: {words}; {_convert()}")
    message = f"the {format_name} decoder refuses the file: {words}; upload an intact copy, or save it again"
    return ImageRejectedError(Reason.CORRUPT, message)


def _open(data: bytes, format_name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=[format_name])
    except ValueError as error:
        if not _is_text_bomb(error, format_name):
            raise
        return _open(without_png_text(data), format_name)
    except UnidentifiedImageError:
        _raise_why(data, format_name)
        raise


def _raise_why(data: bytes, format_name: str) -> None:
    """``Image.open`` hides what the format's own reader said; ask it again, it failed on the header."""
    factory, _ = Image.OPEN[format_name]
    factory(io.BytesIO(data), "")


def _is_text_bomb(error: ValueError, format_name: str) -> bool:
    return format_name == "PNG" and "MAX_TEXT" in str(error)


def _prepare_pillow(max_pixels: int) -> None:
    """Make our limit the one that speaks, and our errors the only sound.

    Pillow's own limit stays on as a second fence around what the header does not tell (tiles, canvases); it is only
    ever raised, so that threads with other limits do not disturb each other.
    """
    with _pillow_lock:
        Image.preinit()
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # threads come from the caller
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
        if not any(getattr(rule[3], "pattern", None) == _THIRD_PARTIES for rule in warnings.filters):
            # A warning is no outcome: it either reaches nobody, or, where warnings are errors, decides by chance.
            warnings.filterwarnings("ignore", module=_THIRD_PARTIES)


def _check_tags(data: bytes, format_name: str) -> None:
    segments = jpeg_exif_segments(data) if format_name == "JPEG" else 0
    if segments > _MOST_EXIF_SEGMENTS:
        message = f"{segments:,} EXIF segments in one JPEG; save the picture again without metadata"
        raise ImageRejectedError(Reason.CORRUPT, message)
    tiff = Tiff.parse(data) if format_name == "TIFF" else None
    if tiff is not None:
        _check_tiff(tiff)


def _check_tiff(tiff: Tiff) -> None:
    main = tiff.directory(tiff.first)
    if _is_camera_raw(tiff, main):
        message = f"a camera's raw file, of which only the preview could be read; {_convert()}"
        raise ImageRejectedError(Reason.UNSUPPORTED_FORMAT, message)
    for directory in (main, *(tiff.child(main, tag) for tag in _DIRECTORY_TAGS)):
        _check_directory(directory)


def _check_directory(directory: Directory) -> None:
    if directory.claimed > MOST_ENTRIES:
        message = f"{directory.claimed:,} tags in one TIFF directory; save the picture again without metadata"
        raise ImageRejectedError(Reason.CORRUPT, message)
    for tag, entry in directory.entries.items():
        most = _MOST_STRIPS if tag in _STRIP_TAGS else _MOST_VALUES
        if entry.kind not in _BYTE_KINDS and entry.count > most:
            message = f"TIFF tag {tag} claims {entry.count:,} values, more than {most:,}"
            raise ImageRejectedError(Reason.CORRUPT, f"{message}; save the picture again without metadata")


def _is_camera_raw(tiff: Tiff, main: Directory) -> bool:
    """DNG, NEF, ARW and their like begin with a thumbnail and keep the picture in a sub-directory."""
    reduced = bool(sum(tiff.integers(main.entries.get(_NEW_SUBFILE_TYPE))[:1]) & 1)
    return _DNG_VERSION in main.entries or (reduced and _SUB_DIRECTORIES in main.entries)


def _convert() -> str:
    return f"convert it to one of {', '.join(sorted(readable_formats()))} and upload that"


def _words(error: BaseException) -> str:
    """The decoder's own text, fit for a table cell."""
    text = "".join(c for c in str(error) or type(error).__name__ if c.isprintable())
    return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004 - two lines of a terminal
