"""A file's bytes → pixels for an encoder; needs no object store."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

from worker import images
from worker.encoder import Pixels
from worker.images import ImageLimits, Reserve
from worker.types import ImageMetadata

if TYPE_CHECKING:
    from PIL import Image


class Preprocessor(Protocol):
    """What pictures are read for: usually an encoder."""

    @property
    def shrink_to(self) -> int | None:
        """Pixels of the shorter side that are enough; None: the whole picture is needed."""
        ...

    def preprocess(self, image: Image.Image) -> Pixels:
        """What becomes of a decoded picture."""
        ...


def decode_picture(
    data: bytes, *, encoder: Preprocessor, limits: ImageLimits, reserve: Reserve = nullcontext
) -> tuple[ImageMetadata, Pixels]:
    """The picture in a file, preprocessed for the encoder. See ``images.read_image`` for arguments and errors."""
    decoded = images.read_image(data, limits=limits, min_side=encoder.shrink_to, reserve=reserve)
    with decoded.pixels as picture:
        return decoded.metadata, encoder.preprocess(picture)
