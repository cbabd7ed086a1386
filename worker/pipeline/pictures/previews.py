"""Makes previews and keeps them: while an image is enriched, and when one is first asked for.

A failure to make or keep a preview never costs the image: it is logged and counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from worker import images, logs, metrics
from worker.errors import ContentChangedError, NotFoundError
from worker.images import DecodedImage, ImageLimits, Reserve, previews
from worker.objects import Gone
from worker.pipeline.pictures.preview_store import PreviewStore
from worker.pipeline.pictures.read_failure import ReadFailure
from worker.pipeline.pictures.read_picture import PictureReader, StoredPicture
from worker.types import ObjectRef

if TYPE_CHECKING:
    from PIL import Image

    from worker.encoder import Pixels

_log = logs.get("previews")

#: Seconds between two log lines about the same trouble: every image may have it.
_LOG_SECONDS: Final = 60.0


@dataclass(kw_only=True, slots=True)
class KeptPreviews:
    """A place for previews that never raises: trouble is logged at most once a minute, and counted."""

    store: PreviewStore
    _mutex: threading.Lock = field(default_factory=threading.Lock)
    _quiet_until: float = 0.0

    def get(self, sha256: str, size: int) -> bytes | None:
        """The preview, if it is there and can be read."""
        try:
            return self.store.get(sha256, size)
        except Exception as error:  # noqa: BLE001  # then it is made
            self._report("read", error)
            return None

    def has(self, sha256: str) -> bool:
        """Whether the larger preview is there; False if that cannot be told."""
        try:
            return self.store.has(sha256, previews.PREVIEW)
        except Exception as error:  # noqa: BLE001  # then it is made
            self._report("read", error)
            return False

    def put(self, sha256: str, made: Mapping[int, bytes]) -> bool:
        """Keep previews; whether that worked."""
        try:
            for size, webp in made.items():
                self.store.put(sha256, size, webp)
        except Exception as error:  # noqa: BLE001  # a preview is not worth an image
            self._report("write", error)
            return False
        metrics.PREVIEWS.labels(result="kept").inc()
        return True

    def _report(self, result: Literal["read", "write", "make"], error: Exception) -> None:
        metrics.PREVIEWS.labels(result=f"{result}-failed").inc()
        with self._mutex:
            is_quiet = time.monotonic() < self._quiet_until
            if not is_quiet:
                self._quiet_until = time.monotonic() + _LOG_SECONDS
        if not is_quiet:
            _log.warning(
                "previews fail; images are enriched all the same", action=f"preview-{result}",
                place=self.store.describe(), error=f"{type(error).__name__}: {error}",
            )  # fmt: skip

    def report_not_made(self, error: Exception) -> None:
        """Log and count that a picture has become no preview."""
        self._report("make", error)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewMaker:
    """Makes previews from pictures that are decoded anyway, and keeps them."""

    kept: KeptPreviews
    only_missing: bool = False  # look first whether it is there: worth it where most are

    @property
    def min_side(self) -> int:
        """See ``also`` of `images.read_image`."""
        return previews.MIN_SIDE

    def make(
        self, data: bytes, decoded: DecodedImage, *, limits: ImageLimits, reserve: Reserve
    ) -> Mapping[int, bytes] | None:
        """Previews of a picture, decoded again where the model's size of it does not do.

        Returns:
            None if that fails, or if only missing ones are made, and there are some.
        """
        if self.only_missing and self.kept.has(decoded.metadata.sha256):
            return None
        try:
            with metrics.PREVIEW_SECONDS.time():
                source = (
                    decoded.also
                    or images.read_image(data, limits=limits, min_side=previews.MIN_SIDE, reserve=reserve).pixels
                )
                return previews.encode(source, decoded.profile)
        except Exception as error:  # noqa: BLE001  # a preview is not worth an image
            self.kept.report_not_made(error)
            return None

    def keep(self, sha256: str, made: Mapping[int, bytes] | None) -> None:
        """Keep what was made; never raises."""
        if made is not None:
            self.kept.put(sha256, made)


class _NoModel:
    """What a picture is read for if no model wants it."""

    shrink_to: int | None = previews.MIN_SIDE

    @staticmethod
    def preprocess(_: Image.Image) -> Pixels:
        return np.empty(0, np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewSource:
    """Previews of stored images: those that are kept, and others made now, in bounded memory. Threads may share it."""

    kept: KeptPreviews
    reader: PictureReader  # makes previews, see ``PreviewMaker``

    def of(self, ref: ObjectRef, sha256: str, size: int) -> bytes:
        """The preview of an image, kept or made.

        Args:
            ref: the object.
            sha256: of the bytes that the catalog describes.
            size: one of ``previews.PreviewSize``.

        Raises:
            NotFoundError: the object is gone from the store.
            ContentChangedError: it has other bytes by now.
            ImageRejectedError: it cannot be decoded within the limits.
            StoreUnavailableError, ObjectRefusedError, NotWatchedError: it cannot be read.
        """
        return self.kept.get(sha256, size) or self._made(ref, sha256)[size]

    def both(self, ref: ObjectRef, sha256: str) -> Mapping[int, bytes]:
        """The previews of an image in all sizes. Raises like ``of``."""
        kept: Mapping[int, bytes] = {
            size: webp for size in previews.PreviewSize if (webp := self.kept.get(sha256, size)) is not None
        }
        return kept if len(kept) == len(previews.PreviewSize) else self._made(ref, sha256)

    def _made(self, ref: ObjectRef, sha256: str) -> Mapping[int, bytes]:
        found = self.reader.read(ref, _NoModel(), is_image=True)
        if isinstance(found, ReadFailure):
            raise found.error
        if isinstance(found, Gone):
            raise NotFoundError(f"{ref} is no longer in the store; it leaves the catalog when that is noticed")
        if not isinstance(found, StoredPicture) or found.previews is None:
            raise NotFoundError(f"no preview of {ref} could be made; the log says why")
        if found.metadata.sha256 != sha256:
            raise ContentChangedError(
                f"{ref} has other bytes by now than those that the catalog describes; there is a preview once it has "
                "been enriched again"
            )
        return found.previews
