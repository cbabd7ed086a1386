"""Fetch, check, decode and preprocess one picture. Errors become results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from worker import images, logs, metrics
from worker.db import is_unavailable
from worker.encoder import Pixels
from worker.errors import ImageRejectedError
from worker.images import DecodedImage, ImageLimits, Reserve
from worker.objects import Answer, Fetched, Gone, NotModified, NotRead, ObjectStore
from worker.pipeline.pictures.content_encoding import plain_head, unpacked
from worker.pipeline.pictures.decode_picture import Preprocessor
from worker.pipeline.pictures.read_failure import ReadFailure, failure_of
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots, Reservation
from worker.types import ImageMetadata, ObjectInfo, ObjectRef, Reason, RetryReason

_log = logs.get("pipeline")
_KEPT_BYTES = 512

#: Called right before a file is decoded. What it raises becomes the result.
BeforeDecoding: TypeAlias = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPicture:
    """A picture that is ready for the encoder."""

    info: ObjectInfo
    metadata: ImageMetadata
    pixels: Pixels
    head: bytes  # first of the file, for people, should it fail from here on
    previews: Mapping[int, bytes] | None = None  # size → WebP file; None: not asked for, or they could not be made


#: ``NotRead`` is not an image, by its name, type and first bytes.
ReadResult: TypeAlias = StoredPicture | NotModified | Gone | NotRead | ReadFailure


class Previews(Protocol):
    """What makes previews of pictures beside it all, and keeps them. Neither method raises."""

    @property
    def min_side(self) -> int:
        """Pixels of the shorter side that are enough, twice over; see ``also`` of `images.read_image`."""
        ...

    def make(
        self, data: bytes, decoded: DecodedImage, *, limits: ImageLimits, reserve: Reserve
    ) -> Mapping[int, bytes] | None:
        """Previews by size; None if that fails."""
        ...

    def keep(self, sha256: str, made: Mapping[int, bytes] | None) -> None:
        """Keep what was made."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureReader:
    """Reads pictures from a store, in bounded memory; called from many threads at once."""

    store: ObjectStore
    limits: ImageLimits
    budget: ByteBudget
    decoders: DecodeSlots
    previews: Previews | None = None  # None: none are made

    def read(
        self,
        ref: ObjectRef,
        encoder: Preprocessor,
        etag: str | None = None,
        *,
        is_image: bool = False,
        before_decoding: BeforeDecoding = lambda: None,
    ) -> ReadResult:
        """Read one picture, preprocessed for ``encoder``; ``NotModified`` if it still has ``etag``.

        With ``is_image``, it is read whatever its name, type and first bytes say.

        Raises:
            DBAPIError: from ``before_decoding``, when the database is away; nothing else is raised.
        """
        try:
            with self.budget.lease() as reservation:
                match self._fetch(ref, etag, reservation, is_image=is_image):
                    case Fetched() as got:
                        return self._decode(got, encoder, before_decoding)
                    case NotRead(why="too-large") as got:
                        return self._too_large(got)
                    case other:
                        return other
        except Exception as error:  # noqa: BLE001  # one bad image costs one image
            return _failed(error, ref)

    def _fetch(self, ref: ObjectRef, etag: str | None, reservation: Reservation, *, is_image: bool) -> Answer:
        def worth_reading(info: ObjectInfo, head: bytes) -> bool:
            worth = is_image or images.is_worth_reading(info.ref.key, info.content_type, plain_head(info, head))
            if worth and info.size <= self.limits.max_bytes:  # what is larger is not read
                reservation.draw(info.size)
            return worth

        with metrics.FETCH_SECONDS.time():
            return self.store.get(ref, etag=etag, max_bytes=self.limits.max_bytes, worth_reading=worth_reading)

    def _too_large(self, got: NotRead) -> ReadFailure:
        message = f"{got.info.size:,} bytes; the limit is {self.limits.max_bytes:,} (ENRICH_MAX_BYTES)"
        return _failed(ImageRejectedError(Reason.TOO_MANY_BYTES, message), got.info.ref, got.info, got.head)

    def _decode(self, got: Fetched, encoder: Preprocessor, before_decoding: BeforeDecoding) -> ReadResult:
        metrics.FETCH_BYTES.inc(len(got.data))
        data = got.data
        try:
            with unpacked(got, self.limits, self.decoders.unpack) as data:
                before_decoding()
                with self.decoders.turn(), metrics.DECODE_SECONDS.time():
                    picture = self._picture(got.info, data, encoder)
        except Exception as error:  # noqa: BLE001  # one bad image costs one image
            return _failed(error, got.info.ref, got.info, data)
        if self.previews is not None:  # after the turn, and without its memory: a store may take its time
            self.previews.keep(picture.metadata.sha256, picture.previews)
        return picture

    def _picture(self, info: ObjectInfo, data: bytes, encoder: Preprocessor) -> StoredPicture:
        also = None if self.previews is None else self.previews.min_side
        reserve = self.decoders.reserve
        decoded = images.read_image(data, limits=self.limits, min_side=encoder.shrink_to, also=also, reserve=reserve)
        made = None
        if self.previews is not None:
            made = self.previews.make(data, decoded, limits=self.limits, reserve=reserve)
        with decoded.pixels as picture:
            pixels = encoder.preprocess(picture)
        return StoredPicture(
            info=info, metadata=decoded.metadata, pixels=pixels, head=data[:_KEPT_BYTES], previews=made
        )


def _failed(error: Exception, ref: ObjectRef, info: ObjectInfo | None = None, data: bytes = b"") -> ReadFailure:
    if is_unavailable(error):
        raise error  # the database: nothing about the object
    failure = failure_of(error, ref, info, data[:_KEPT_BYTES])
    if failure.retry is RetryReason.UNEXPECTED and failure.counted:
        _log.exception("an image failed unexpectedly", action="prepare", ref=str(ref))
    return failure
