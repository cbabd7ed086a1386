"""Same answers: what fast preprocessing changes, on photos that somebody labelled: one folder for each label.

They are enlarged to what cameras make, because small files are decoded alike by both.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.corpus import QUALITY
from bench.table import Found, Note, Row
from worker import bootstrap, images, settings
from worker.encoder import Encoder
from worker.encoder.interface import Preprocessing
from worker.images import ImageLimits
from worker.types import Floats

_LIMITS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30, max_side=1 << 16)
_MOST = 100  # photos of a label
_LONGER_SIDE = 4032  # pixels


def fast_and_exact(photos: Path | None) -> Iterator[Found]:
    """Least cosine of the two, and how many labels each finds; by ENRICH_MODEL, or the starter."""
    if photos is None:
        yield Note(sentence="Fast and exact preprocessing were not compared on real photos: give --photos DIR")
        return
    folders = [folder for folder in sorted(photos.iterdir()) if folder.is_dir()]
    files = [[_enlarged(path) for path in sorted(folder.iterdir())[:_MOST]] for folder in folders]
    found = {how: _vectors(how, files) for how in ("fast", "exact")}
    prompts = _encoder("exact").encode_texts([f"a photo taken at {folder.name}" for folder in folders])
    right = {how: _accuracy(vectors, prompts) for how, vectors in found.items()}
    cosines = (np.concatenate(found["fast"]) * np.concatenate(found["exact"])).sum(axis=1)
    name = settings.load().model
    yield Row(
        what=f"{name}, {len(cosines)} labelled photos, least cosine of fast and exact",
        unit="",
        ours=float(cosines.min()),
        other="wanted",
        theirs=0.995,
        goal=1,
    )
    yield Row(
        what=f"{name}, {len(cosines)} labelled photos, right labels with fast",
        unit="%",
        ours=100 * right["fast"],
        other="with exact",
        theirs=100 * right["exact"],
        goal=0.995,
    )


def _encoder(how: Preprocessing) -> Encoder:
    return bootstrap.encoder(settings.load(preprocessing=how))


def _vectors(how: Preprocessing, files: Sequence[Sequence[bytes]]) -> list[Floats]:
    encoder = _encoder(how)
    return [_of_label(encoder, label) for label in files]


def _of_label(encoder: Encoder, files: Sequence[bytes]) -> Floats:
    pixels = []
    for data in files:
        with images.read_image(data, limits=_LIMITS, min_side=encoder.shrink_to).pixels as picture:
            pixels.append(encoder.preprocess(picture))
    return encoder.encode_images(pixels)


def _enlarged(path: Path) -> bytes:
    with Image.open(path) as photo:
        factor = _LONGER_SIDE / max(photo.size)
        size = (round(photo.width * factor), round(photo.height * factor))
        file = io.BytesIO()
        photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=QUALITY)
        return file.getvalue()


def _accuracy(vectors: Sequence[Floats], prompts: Floats) -> float:
    right = [(each @ prompts.T).argmax(1) == label for label, each in enumerate(vectors)]
    return float(np.concatenate(right).mean())
