"""What the script uploads, and how each kind of file must end."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

from PIL import Image

from tests.unit.images.corpus import CORPUS
from worker.types import Reason

PICTURE, TEXT, KILLER = "picture", "text", "killer"
#: A picture of this colour alone ends the process that encodes it; see ``tests.chaos.worker``.
KILLING_COLOUR = (255, 0, 255)
#: Files of the image corpus that can never become pictures, whatever their key says.
POISONS = (
    "zero bytes",
    "html named jpg",
    "psd",
    "camera raw",
    "truncated jpeg",
    "truncated png",
    "truncated webp",
    "corrupt png",
    "broken checksum",
    "bomb of few bytes",
    "bomb gif",
    "70,000 pixels wide",
)
_SIZE = (64, 48)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """How an object must end."""

    outcome: str
    reason: Reason | None = None  # of quarantine


def fate(content: str) -> Fate:
    """How an object with this content must end."""
    if content == PICTURE:
        return Fate(outcome="enriched")
    if content == TEXT:
        return Fate(outcome="excluded")
    return Fate(outcome="quarantined", reason=Reason.KILLED_WORKER if content == KILLER else CORPUS[content].reason)


def build(content: str, seed: int, number: int) -> bytes:
    """The file of one step of a script: no two pictures of a run have the same bytes."""
    if content == PICTURE:
        return _picture(random.Random(f"{seed}/{number}"))
    if content == TEXT:
        return f"note {number} of run {seed}\n".encode()
    if content == KILLER:
        return _jpeg(Image.new("RGB", _SIZE, KILLING_COLOUR), comment=f"{seed}/{number}".encode())
    return CORPUS[content].build()


def content_type(content: str) -> str:
    """As the uploader declares it."""
    return "text/plain" if content == TEXT else "image/jpeg"


def _picture(rng: random.Random) -> bytes:
    coarse = Image.frombytes("RGB", (8, 6), rng.randbytes(8 * 6 * 3))
    return _jpeg(coarse.resize(_SIZE, Image.Resampling.NEAREST))


def _jpeg(image: Image.Image, **options: bytes) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()
