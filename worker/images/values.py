"""The result of reading a file."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from worker.types import ImageMetadata


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedImage:
    """A picture, ready for an encoder."""

    pixels: Image.Image  # mode RGB, upright, alpha over white; perhaps smaller than ``metadata`` says, see read_image
    metadata: ImageMetadata
    profile: bytes | None = None  # ICC profile of the samples, if the file has one for RGB
    also: Image.Image | None = None  # like ``pixels``, for the other size that was asked for
