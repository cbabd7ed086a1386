"""The use cases: show what the model saw of an image, from the store or of the catalog."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from worker.encoder import Encoder, as_picture
from worker.errors import ContentChangedError, NotFoundError
from worker.images import ImageLimits
from worker.objects import ObjectStore
from worker.pipeline.pictures.previews import PreviewSource
from worker.pipeline.pictures.read_failure import ReadFailure
from worker.pipeline.pictures.read_picture import PictureReader, StoredPicture
from worker.pipeline.reading.examples import ExampleVectors
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInput:
    """An object as the model saw it."""

    png: bytes
    etag: str  # of the bytes it was made of


def model_input_of(store: ObjectStore, ref: ObjectRef, *, encoder: Encoder, limits: ImageLimits) -> ModelInput:
    """Fetch and preprocess an object.

    Raises:
        NotFoundError: it is gone.
        ImageRejectedError: it is too large, or cannot be decoded.
        StoreUnavailableError: the store cannot be reached.
    """
    # A single picture never waits for another one, however small the budget is.
    slots = DecodeSlots(count=1, memory=ByteBudget(limits.max_bytes))
    reader = PictureReader(store=store, limits=limits, budget=ByteBudget(limits.max_bytes), decoders=slots)
    found = _read(reader, ref, encoder)
    return ModelInput(png=_encoded(found, "PNG"), etag=found.info.etag)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInputs:
    """What the model of the active space sees of the catalog's images. Threads may share it."""

    models: ExampleVectors
    pictures: PreviewSource  # reads originals in bounded memory

    def of(self, ref: ObjectRef, sha256: str) -> bytes:
        """The picture as the model gets it: cropped, scaled, with the colours that it is given.

        Args:
            ref: the object.
            sha256: of the bytes that the catalog describes.

        Returns:
            A WebP file, lossless.

        Raises:
            NothingEmbeddedError: there is no active space yet.
            ModelUnavailableError: the model's files are not available.
            NotFoundError: the object is gone from the store.
            ContentChangedError: it has other bytes by now.
            ImageRejectedError: it cannot be decoded within the limits.
            StoreUnavailableError, ObjectRefusedError, NotWatchedError: it cannot be read.
        """
        encoder = self.models.image_model(self.models.space())
        found = _read(replace(self.pictures.reader, previews=None), ref, encoder)
        if found.metadata.sha256 != sha256:
            raise ContentChangedError(
                f"{ref} has other bytes by now than those that the catalog describes; ask once it is enriched again"
            )
        return _encoded(found, "WEBP", lossless=True)


def _read(reader: PictureReader, ref: ObjectRef, encoder: Encoder) -> StoredPicture:
    found = reader.read(ref, encoder, is_image=True)
    if isinstance(found, ReadFailure):
        raise found.error
    if not isinstance(found, StoredPicture):
        raise NotFoundError(f"{ref} cannot be read: it is gone from the store")
    return found


def _encoded(found: StoredPicture, kind: str, **options: bool) -> bytes:
    out = io.BytesIO()
    as_picture(found.pixels).save(out, kind, **options)
    return out.getvalue()
