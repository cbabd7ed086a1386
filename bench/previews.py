"""What previews cost while images are enriched, and what vectors made from them are worth.

python -m bench.previews [--megapixels 12] [--each N] FOLDER        (ENRICH_* variables say which model)

Reads the photos below FOLDER, each enlarged to a JPEG of that many megapixels first; 0 leaves files as they are. Prints
JSON. Where the labelled photos of the tests are among them, it has the numbers of right tags as well.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.labelled_photos import answers
from worker import bootstrap, settings
from worker.encoder import Encoder, Pixels
from worker.images import ImageLimits, previews, read_image
from worker.tagging import Tagger
from worker.types import Tag

_TAXONOMIES = ("time-of-day", "setting", "document-page")
_KINDS = ("*.jpg", "*.jpeg", "*.png", "*.webp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One photo, read without and with previews, and from its preview."""

    path: Path
    pixels: Pixels
    from_preview: Pixels
    original_bytes: int
    preview_bytes: int
    thumbnail_bytes: int
    plain_seconds: float  # of processor time: decode and preprocess
    with_previews_seconds: float
    from_preview_seconds: float
    again: bool  # the preview needs a second run of the decoder


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("--megapixels", type=float, default=12.0)
    asked.add_argument("--each", type=int, default=1, help="take every Nth photo")
    given = asked.parse_args()
    chosen = settings.load()
    encoder, limits = bootstrap.encoder(chosen), bootstrap.limits(chosen)
    photos = sorted(path for kind in _KINDS for path in given.folder.rglob(kind))[:: given.each]
    measured = [_measure(path, _file(path, given.megapixels), encoder, limits) for path in photos]
    print(json.dumps(_summary(measured, encoder, bootstrap.tagger(chosen, encoder)), indent=2))


def _file(path: Path, megapixels: float) -> bytes:
    if not megapixels:
        return path.read_bytes()
    with Image.open(path) as image:
        photo = image.convert("RGB")
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    size = (round(photo.width * scale), round(photo.height * scale))
    out = io.BytesIO()
    photo.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=92)
    return out.getvalue()


def _measure(path: Path, data: bytes, encoder: Encoder, limits: ImageLimits) -> Measured:
    began = time.thread_time()
    pixels = encoder.preprocess(read_image(data, limits=limits, min_side=encoder.shrink_to).pixels)
    plain = time.thread_time()
    decoded = read_image(data, limits=limits, min_side=encoder.shrink_to, also=previews.MIN_SIDE)
    source = decoded.also or read_image(data, limits=limits, min_side=previews.MIN_SIDE).pixels
    made = previews.encode(source, decoded.profile)
    encoder.preprocess(decoded.pixels)
    both = time.thread_time()
    webp = made[previews.PREVIEW]
    small = encoder.preprocess(read_image(webp, limits=limits, min_side=encoder.shrink_to).pixels)
    return Measured(
        path=path,
        pixels=pixels,
        from_preview=small,
        original_bytes=len(data),
        preview_bytes=len(webp),
        thumbnail_bytes=len(made[previews.THUMBNAIL]),
        plain_seconds=plain - began,
        with_previews_seconds=both - plain,
        from_preview_seconds=time.thread_time() - both,
        again=decoded.also is None,
    )


def _summary(measured: Sequence[Measured], encoder: Encoder, tagger: Tagger) -> dict[str, Any]:
    vectors = np.concatenate([encoder.encode_images([each.pixels]) for each in measured])
    others = np.concatenate([encoder.encode_images([each.from_preview]) for each in measured])
    cosines = (vectors * others).sum(axis=1)
    mean = {
        name: float(np.mean([getattr(each, name) for each in measured]))
        for name in (
            "original_bytes", "preview_bytes", "thumbnail_bytes", "plain_seconds", "with_previews_seconds",
            "from_preview_seconds",
        )
    }  # fmt: skip
    return {
        "photos": len(measured),
        "model": encoder.space.model,
        "bytes ratio": mean["original_bytes"] / mean["preview_bytes"],
        "cost ratio": mean["with_previews_seconds"] / mean["plain_seconds"],
        "reading a preview, ratio": mean["from_preview_seconds"] / mean["plain_seconds"],
        "decoded again": sum(each.again for each in measured),
        "mean": mean,
        "cosine": {
            "mean": float(cosines.mean()), "low": float(np.quantile(cosines, 0.05)), "least": float(cosines.min()),
        },
        "right tags": dict(_right(measured, vectors, others, tagger)),
    }  # fmt: skip


def _right(measured: Sequence[Measured], vectors: Any, others: Any, tagger: Tagger) -> Iterator[tuple[str, Any]]:
    """Of labelled photos: how many, and how many are tagged right from originals and from previews."""
    places = {each.path.resolve(): number for number, each in enumerate(measured)}
    tags = [tagger.tag(vectors), tagger.tag(others)]
    for taxonomy in _TAXONOMIES:
        known = {places[path]: label for path, label in answers(taxonomy).items() if path in places}
        if known:
            right = [sum(_label(each[n], taxonomy) == label for n, label in known.items()) for each in tags]
            same = sum(_label(tags[0][n], taxonomy) == _label(tags[1][n], taxonomy) for n in known)
            yield taxonomy, {"photos": len(known), "originals": right[0], "previews": right[1], "same": same}


def _label(tags: Sequence[Tag], taxonomy: str) -> str | None:
    return next((each.label for each in tags if each.taxonomy == taxonomy and each.source != "suggestion"), None)


if __name__ == "__main__":
    main()
