"""Fetch, check, decode and preprocess one picture. Errors become results."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from worker import images, logs, metrics
from worker.db import is_unavailable
from worker.encoder import Encoder, Pixels
from worker.errors import ImageRejectedError
from worker.images import ImageLimits, Reserve
from worker.objects import Answer, Fetched, Gone, NotModified, NotRead, ObjectStore
from worker.pipeline.pictures.content_encoding import plain_head, unpacked
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


#: ``NotRead`` is not an image, by its name, type and first bytes.
ReadResult: TypeAlias = StoredPicture | NotModified | Gone | NotRead | ReadFailure


def decode_picture(
    data: bytes, *, encoder: Encoder, limits: ImageLimits, reserve: Reserve = nullcontext
) -> tuple[ImageMetadata, Pixels]:
    """The picture in a file, preprocessed for the encoder. See ``images.read_image`` for arguments and errors."""
    decoded = images.read_image(data, limits=limits, min_side=encoder.shrink_to, reserve=reserve)
    with decoded.pixels as picture:
        return decoded.metadata, encoder.preprocess(picture)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureReader:
    """Reads pictures from a store, in bounded memory; called from many threads at once."""

    store: ObjectStore
    limits: ImageLimits
    budget: ByteBudget
    decoders: DecodeSlots

    def read(
        self,
        ref: ObjectRef,
        encoder: Encoder,
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

    def _decode(self, got: Fetched, encoder: Encoder, before_decoding: BeforeDecoding) -> ReadResult:
        metrics.FETCH_BYTES.inc(len(got.data))
        data = got.data
        try:
            with unpacked(got, self.limits, self.decoders.unpack) as data:
                before_decoding()
                with self.decoders.turn(), metrics.DECODE_SECONDS.time():
                    metadata, pixels = decode_picture(
                        data, encoder=encoder, limits=self.limits, reserve=self.decoders.reserve
                    )
                return StoredPicture(info=got.info, metadata=metadata, pixels=pixels, head=data[:_KEPT_BYTES])
        except Exception as error:  # noqa: BLE001  # one bad image costs one image
            return _failed(error, got.info.ref, got.info, data)


def _failed(error: Exception, ref: ObjectRef, info: ObjectInfo | None = None, data: bytes = b"") -> ReadFailure:
    if is_unavailable(error):
        raise error  # the database: nothing about the object
    failure = failure_of(error, ref, info, data[:_KEPT_BYTES])
    if failure.retry is RetryReason.UNEXPECTED and failure.counted:
        _log.exception("an image failed unexpectedly", action="prepare", ref=str(ref))
    return failure
