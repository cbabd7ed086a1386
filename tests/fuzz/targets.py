"""What files are given to: the real decode path, and doubles that misbehave in every way the harness has to notice."""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tests.fuzz.limits import LIMITS, MOST_BEYOND, SIDE
from worker.encoder.preprocessing import Recipe
from worker.errors import ImageRejectedError
from worker.images import DecodedImage, sniff
from worker.images.decoder_process import _limit_memory
from worker.images.reader import decode as in_this_process
from worker.types import ImageMetadata, Reason

PIXELS = "pixels"
_MOST_FRAMES = 10_000

#: What docs/reference/images.md says a file can be refused for, by its bytes alone.
DOCUMENTED = frozenset(
    {
        Reason.EMPTY,
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED_FORMAT,
        Reason.TRUNCATED,
        Reason.CORRUPT,
        Reason.TOO_MANY_BYTES,
        Reason.TOO_MANY_PIXELS,
        Reason.SIDE_TOO_LONG,
        Reason.TOO_MUCH_WORK,
    }
)
_RECIPES = (
    Recipe(height=SIDE, width=SIDE, shorter=SIDE, resample=3),  # type: ignore[arg-type]  # as CLIP prepares
    Recipe(height=SIDE, width=SIDE, shorter=None, resample=2),  # type: ignore[arg-type]  # as SigLIP prepares
)


#: Bytes that were reserved for the current file; ``child`` empties it before each.
RESERVED: list[int] = []


class UnexpectedResultError(Exception):
    """The decode path returned, but not what it promises."""


def decode(data: bytes) -> str:
    """What a worker does with a file's bytes, up to the encoder's door.

    Returns:
        "pixels", or the documented reason of the refusal.

    Raises:
        MemoryError: memory ran out. The decode path makes a refusal of that, so the limits would hide it.
        UnexpectedResultError: a promise was broken.
    """
    try:
        reserve = _reserve_for_avif if sniff(data[:4096]) == "AVIF" else _reserve
        decoded = in_this_process(data, limits=LIMITS, min_side=SIDE, reserve=reserve)
    except ImageRejectedError as rejected:
        if isinstance(rejected.__cause__, MemoryError):
            raise rejected.__cause__ from None
        _require(rejected.reason in DOCUMENTED, f"undocumented reason {rejected.reason}")
        _require(_is_storable(str(rejected)) and len(str(rejected)) < 1000, f"odd message {str(rejected)!r}")
        return str(rejected.reason)
    _check_pixels(decoded)
    _check_metadata(decoded.metadata)
    for recipe in _RECIPES:
        prepared = recipe.exactly(decoded.pixels)
        _require(prepared.shape == (3, SIDE, SIDE) and prepared.dtype == np.uint8, f"prepared as {prepared.shape}")
    return PIXELS


@contextmanager
def _reserve(size: int) -> Iterator[None]:
    RESERVED.append(size)
    yield


@contextmanager
def _reserve_for_avif(size: int) -> Iterator[None]:
    """Limit memory as the decoder's process does: an AV1 stream may claim far more than the file's header."""
    with _reserve(size):
        _limit_memory(size + MOST_BEYOND)
        try:
            yield
        finally:
            _limit_memory(None)


def _check_pixels(decoded: DecodedImage) -> None:
    pixels, metadata = decoded.pixels, decoded.metadata
    _require(pixels.mode == "RGB", f"mode {pixels.mode}")
    samples = np.asarray(pixels)  # reads every byte: a buffer shorter than it says would show
    _require(int(samples.sum(dtype=np.int64)) >= 0 and samples.size == 3 * pixels.width * pixels.height, "samples")
    _require(pixels.width <= metadata.width and pixels.height <= metadata.height, "more pixels than the file has")
    _require(metadata.width * metadata.height <= LIMITS.max_pixels, "more pixels than allowed")
    _require(max(metadata.width, metadata.height) <= LIMITS.max_side, "a longer side than allowed")


def _check_metadata(found: ImageMetadata) -> None:
    _require(1 <= found.frames <= _MOST_FRAMES, f"{found.frames} frames")
    _require(1 <= found.orientation <= 8, f"orientation {found.orientation}")
    _require(-(1 << 63) <= found.phash < 1 << 63, f"phash {found.phash}")
    names = (found.camera_make, found.camera_model, found.lens_make, found.lens_model)
    for text in (*names, found.format, found.mode):
        _require(text is None or _is_storable(text), f"text {text!r}")
    for value, most in ((found.latitude, 90), (found.longitude, 180), (found.altitude, 1e6)):
        _require(value is None or (math.isfinite(value) and abs(value) <= most), f"position {value}")
    for value in (found.exposure_time, found.f_number, found.focal_length):
        _require(value is None or (math.isfinite(value) and value > 0), f"setting {value}")
    for value in (found.iso, found.focal_length_35mm):
        _require(value is None or 0 < value < 1 << 31, f"setting {value}")


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL takes it."""
    return bool(text) and text.isprintable() and text.encode(errors="replace") == text.encode(errors="surrogatepass")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UnexpectedResultError(what)


def misbehave(data: bytes) -> str:
    """Do what the file says: the harness must call each by its name."""
    match data:
        case b"crash":
            faulthandler._sigsegv()  # type: ignore[attr-defined]
        case b"hang":
            time.sleep(600)
        case b"spin":
            until = time.process_time() + 2.5
            while time.process_time() < until:
                pass
        case b"eat unreserved":
            _ = bytearray(b"x" * (48 << 20))
        case b"eat":
            _ = bytearray(b"x" * (300 << 20))
        case b"eat all":
            _ = [b"x" * (100 << 20) for _ in range(1000)]
        case b"raise":
            raise ZeroDivisionError("by the file")
        case b"leak":
            _leaked.append(b"x" * (30 << 20))
    return PIXELS


_leaked: list[bytes] = []
