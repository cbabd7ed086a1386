"""Bytes to pixels and metadata, safely: the result is a picture or a reason in words."""

from __future__ import annotations

from worker.images.formats import claims_to_be_image, is_worth_reading, readable_formats, sniff
from worker.images.isolated_decoder import Reserve
from worker.images.limits import ImageLimits
from worker.images.reader import decoding, read_image
from worker.images.values import DecodedImage

__all__ = [
    "DecodedImage",
    "ImageLimits",
    "Reserve",
    "claims_to_be_image",
    "decoding",
    "is_worth_reading",
    "read_image",
    "readable_formats",
    "sniff",
]
