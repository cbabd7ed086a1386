"""The use case: what the model saw of an image."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import dataclass

from worker import images
from worker.encoder import Encoder, as_picture
from worker.errors import NotFoundError
from worker.images import ImageLimits
from worker.objects import Fetched, ObjectStore
from worker.pipeline.common.content_encoding import unpacked
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInput:
    """What the model saw of an object."""

    png: bytes
    etag: str  # of the bytes it was made of


def model_input_of(store: ObjectStore, ref: ObjectRef, *, encoder: Encoder, limits: ImageLimits) -> ModelInput:
    """Fetch an object and prepare it as for the model.

    Raises:
        NotFoundError: it is gone, or too large.
        ImageRejectedError: it cannot be decoded.
        StoreUnavailableError: the store cannot be reached.
    """
    got = store.get(ref, etag=None, max_bytes=limits.max_bytes)
    if not isinstance(got, Fetched):
        raise NotFoundError(
            f"{ref} cannot be read: it is gone from the store, or larger than {limits.max_bytes:,} bytes"
        )
    with unpacked(got, limits, nullcontext) as data:
        decoded = images.read_image(data, limits=limits, min_side=encoder.input_side)
    with decoded.pixels as picture:
        shown = as_picture(encoder.preprocess(picture))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return ModelInput(png=out.getvalue(), etag=got.info.etag)
