"""Which embedding space an encoder fills here."""

from __future__ import annotations

from dataclasses import replace

from worker.encoder import Encoder
from worker.images import decoding
from worker.types import SpaceSpec


def space_spec(encoder: Encoder) -> SpaceSpec:
    """The encoder's space, told apart by how files become pixels as well: that is decided outside of the encoder."""
    return replace(encoder.space, preprocessing=f"{encoder.space.preprocessing}+{decoding(encoder.shrink_to)}")
