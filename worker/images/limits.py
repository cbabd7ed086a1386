"""Limits on one image, checked before any cost arises."""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import ImageRejectedError
from worker.types import Reason

#: Bytes of a file that must be decoded within `ImageLimits.max_seconds`; larger ones may take as much longer.
_TIMED_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLimits:
    """Limits on one image. All are inclusive: an image exactly at a limit is read."""

    max_bytes: int  # of the file
    max_pixels: int  # width × height, of one frame at full size
    max_side: int  # pixels
    max_seconds: float = 4.0  # of processor time, to decode a file of up to 64 MiB

    def seconds(self, size: int) -> float:
        """CPU seconds that decoding a file of ``size`` bytes may take."""
        return self.max_seconds * max(1.0, size / _TIMED_BYTES)

    def check_bytes(self, size: int) -> None:
        """Refuse a file by its length.

        Raises:
            ImageRejectedError: ``EMPTY`` or ``TOO_MANY_BYTES``.
        """
        if size == 0:
            raise ImageRejectedError(Reason.EMPTY, "the object has zero bytes; upload the file again")
        if size > self.max_bytes:
            message = f"{size:,} bytes are more than the limit of {self.max_bytes:,}"
            raise ImageRejectedError(Reason.TOO_MANY_BYTES, f"{message}; {_way_out('ENRICH_MAX_BYTES')}")

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture by the size its header gives, before a pixel is decoded.

        Raises:
            ImageRejectedError: ``SIDE_TOO_LONG`` or ``TOO_MANY_PIXELS``.
        """
        if max(width, height) > self.max_side:
            message = f"a side of {width:,} × {height:,} pixels is longer than the limit of {self.max_side:,}"
            raise ImageRejectedError(Reason.SIDE_TOO_LONG, f"{message}; {_way_out('ENRICH_MAX_SIDE')}")
        if width * height > self.max_pixels:
            message = f"{width:,} × {height:,} pixels are more than the limit of {self.max_pixels:,}"
            raise ImageRejectedError(Reason.TOO_MANY_PIXELS, f"{message}; {_way_out('ENRICH_MAX_PIXELS')}")


def _way_out(setting: str) -> str:
    return f"upload a smaller copy, or raise {setting} and retry"
