"""What one image may cost, checked before it costs anything."""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import ImageRejectedError
from worker.types import Reason

#: A progressive JPEG is decoded scan by scan, each over the whole picture; ordinary encoders write about ten scans.
#: Work beyond this many passes over the largest allowed picture is refused.
_PASSES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLimits:
    """Limits on one image. All are inclusive: an image exactly at a limit is read."""

    max_bytes: int  # of the file
    max_pixels: int  # width × height, of one frame at full size
    max_side: int  # pixels

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

    def check_scans(self, scans: int, width: int, height: int) -> None:
        """Refuse a progressive JPEG that repeats itself to keep a decoder busy for minutes.

        Raises:
            ImageRejectedError: ``TOO_MANY_PIXELS``.
        """
        if scans * width * height > _PASSES * self.max_pixels:
            message = f"{scans:,} scans over {width:,} × {height:,} pixels are more work than {_PASSES} full pictures"
            raise ImageRejectedError(Reason.TOO_MANY_PIXELS, f"{message}; save it again as a baseline JPEG")


def _way_out(setting: str) -> str:
    return f"upload a smaller copy, or raise {setting} and retry"
