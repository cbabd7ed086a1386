"""The use case: show what the model saw of an image."""

from __future__ import annotations

import io
from dataclasses import dataclass

from worker.encoder import Encoder, as_picture
from worker.errors import NotFoundError
from worker.images import ImageLimits
from worker.objects import ObjectStore
from worker.pipeline.pictures.read_failure import ReadFailure
from worker.pipeline.pictures.read_picture import PictureReader, StoredPicture
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
    found = reader.read(ref, encoder, is_image=True)
    if isinstance(found, ReadFailure):
        raise found.error
    if not isinstance(found, StoredPicture):
        raise NotFoundError(f"{ref} cannot be read: it is gone from the store")
    out = io.BytesIO()
    as_picture(found.pixels).save(out, "PNG")
    return ModelInput(png=out.getvalue(), etag=found.info.etag)
