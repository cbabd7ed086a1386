"""Pillow behind safeguards: an allow-list of formats, limits from the header, and a reason for every failure.

Pillow's switches are process-wide, so they are set here and nowhere else. ``LOAD_TRUNCATED_IMAGES`` is never touched:
half a picture with a grey rest would be tagged as if it were whole.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from PIL import AvifImagePlugin, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from worker.errors import ImageRejectedError
from worker.images.boxes import require_readable_types
from worker.images.formats import describe, readable_formats, sniff
from worker.images.jpeg import JpegStructure, jpeg_structure
from worker.images.jpeg_decoder import decode_jpeg
from worker.images.limits import ImageLimits
from worker.images.structure import ends_early, gif_prelude, png_chunks, sound_png, webp_canvas, without_png_text
from worker.images.tiff import MOST_ENTRIES, Directory, Tiff
from worker.images.tiff_pages import refuse_what_pillow_gets_wrong
from worker.images.zero_blocks import has_zeros_for_data
from worker.types import Reason

_UNSUPPORTED: Final = re.compile(
    r"cannot handle|unknown pixel mode|unknown data organization|unsupported|not (yet )?supported", re.IGNORECASE
)
_THIRD_PARTIES: Final = r"PIL\.|pi_heif\."
_pillow_lock = threading.Lock()
# Without a handler of its own, Pillow's log of a bad TIFF would reach stderr beside the structured logs.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# TIFF: Pillow turns all values of some tags into Python objects.
_MOST_STRIPS: Final = 1 << 18
_SHARED_BYTES: Final = 1 << 16  # values of several tags may be the same bytes
_MOST_VALUES: Final = 1 << 18  # a colour map of 16-bit samples has 3 << 16
_STRIP_TAGS: Final = frozenset((273, 279, 324, 325))
_BYTE_KINDS: Final = frozenset((1, 2, 6, 7, 129))  # stay bytes in Pillow
_DIRECTORY_TAGS: Final = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, interoperability
_TILE_SIDES, _SIDES, _INTEROPERABILITY = (322, 323), (256, 257), 0xA005
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A picture before decoding."""

    image: Image.Image
    structure: JpegStructure | float  # of a JPEG; of another file the seconds that Pillow may take to go over its parts


def open_header(data: bytes, format_name: str, limits: ImageLimits, *, most_seconds: float) -> Header | None:
    """Read the header only, and refuse what the limits forbid.

    Returns:
        None if already the header might take longer than ``most_seconds``, and was not read.

    Raises:
        ImageRejectedError: see ``read_image``.
    """
    _prepare_pillow(limits.max_pixels)
    structure = _CHECKS.get(format_name, _unchecked)(data, limits)
    if (structure if isinstance(structure, float) else structure.opening_seconds) > most_seconds:
        return None
    with rejecting(data, format_name):
        image = _open(data, format_name)
    limits.check_size(*image.size)
    return Header(image=image, structure=structure)


def checked_canvas(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    """Width and height of a WebP, within the limits.

    Raises:
        ImageRejectedError: see ``read_image``.
    """
    with rejecting(data, "WEBP"):
        canvas = webp_canvas(data)
    limits.check_size(*canvas)
    return canvas


def load(image: Image.Image, data: bytes, format_name: str, *, min_side: int | None) -> Image.Image:
    """Decode the first frame; a JPEG at 1/2, 1/4 or 1/8 where its shorter side stays at least twice ``min_side``.

    Raises:
        ImageRejectedError: ``TRUNCATED``, ``CORRUPT`` or ``UNSUPPORTED_FORMAT``.
    """
    with rejecting(data, format_name):
        if format_name == "JPEG" and min_side:
            image.draft("RGB", (2 * min_side, 2 * min_side))
        if isinstance(image, JpegImageFile):
            return decode_jpeg(data, image)
        if has_zeros_for_data(format_name, data):
            raise ValueError("zeros where data of the picture should be")
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
    """Turn anything that a decoder raises into a reason. Decoders raise all kinds of errors because of the bytes."""
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
    if format_name == "PNG":
        data = sound_png(data)
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
    """The error of the format's own reader, which ``Image.open`` hides. Asking again is quick."""
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


def _unchecked(_data: bytes, _limits: ImageLimits) -> float:
    return 0.0


def _check_jpeg(data: bytes, _: ImageLimits) -> JpegStructure:
    structure = jpeg_structure(data)
    for block in structure.directories:
        tiff = Tiff.parse(block)
        if tiff is not None:
            _check_directory(tiff.directory(tiff.first), len(block))
    return structure


def _check_png(data: bytes, _: ImageLimits) -> float:
    return png_chunks(data) * 10e-6


def _check_gif(data: bytes, _: ImageLimits) -> float:
    return gif_prelude(data) * 100e-6


def _check_webp(data: bytes, limits: ImageLimits) -> float:
    checked_canvas(data, limits)
    return 0.0


def _check_heif(data: bytes, _: ImageLimits) -> float:
    require_readable_types(data)
    return 0.0


def _check_tiff(data: bytes, limits: ImageLimits) -> float:
    tiff = Tiff.parse(data)
    if tiff is None:
        return 0.0
    main = tiff.directory(tiff.first)
    if _is_camera_raw(tiff, main):
        message = f"a camera's raw file, of which only the preview could be read; {_convert()}"
        raise ImageRejectedError(Reason.UNSUPPORTED_FORMAT, message)
    refuse_what_pillow_gets_wrong(tiff, main, _convert())
    for directory in _with_children(tiff, main):
        _check_directory(directory, len(data))
    tile = [sum(tiff.integers(main.entries.get(tag))[:1]) for tag in _TILE_SIDES]
    limits.check_size(*(max(sides) for sides in zip(tile, _size_of(tiff, main), strict=True)))
    return max((each.count for each in main.entries.values() if each.kind not in _BYTE_KINDS), default=0) * 10e-6


def _with_children(tiff: Tiff, main: Directory) -> Iterator[Directory]:
    yield main
    for tag in _DIRECTORY_TAGS:
        child = tiff.child(main, tag)
        yield child
        yield tiff.child(child, _INTEROPERABILITY)


def _check_directory(directory: Directory, size: int) -> None:
    if directory.claimed > MOST_ENTRIES:
        message = f"{directory.claimed:,} tags in one TIFF directory; save the picture again without metadata"
        raise ImageRejectedError(Reason.CORRUPT, message)
    if directory.volume > size + _SHARED_BYTES:
        message = f"the values of one TIFF directory add up to {directory.volume:,} bytes, in a file of {size:,}"
        raise ImageRejectedError(Reason.CORRUPT, f"{message}; save the picture again without metadata")
    for tag, entry in directory.entries.items():
        most = _MOST_STRIPS if tag in _STRIP_TAGS else _MOST_VALUES
        if entry.kind not in _BYTE_KINDS and entry.count > most:
            message = f"TIFF tag {tag} claims {entry.count:,} values, more than {most:,}"
            raise ImageRejectedError(Reason.CORRUPT, f"{message}; save the picture again without metadata")


def _size_of(tiff: Tiff, main: Directory) -> list[int]:
    return [sum(tiff.integers(main.entries.get(tag))[:1]) for tag in _SIDES]


def _is_camera_raw(tiff: Tiff, main: Directory) -> bool:
    """DNG, NEF, ARW and similar files begin with a thumbnail and keep the picture in a sub-directory."""
    reduced = bool(sum(tiff.integers(main.entries.get(_NEW_SUBFILE_TYPE))[:1]) & 1)
    return _DNG_VERSION in main.entries or (reduced and _SUB_DIRECTORIES in main.entries)


def _convert() -> str:
    return f"convert it to one of {', '.join(sorted(readable_formats()))} and upload that"


def _words(error: BaseException) -> str:
    """The decoder's own message, short enough for a table cell."""
    text = "".join(c for c in str(error) or type(error).__name__ if c.isprintable())
    return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004 - two lines of a terminal


#: What is looked at before Pillow reads a file's header. The size is looked at afterwards, too.
_CHECKS: Final[dict[str, Callable[[bytes, ImageLimits], JpegStructure | float]]] = {
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "GIF": _check_gif,
    "WEBP": _check_webp,
    "TIFF": _check_tiff,
    "HEIF": _check_heif,
}
