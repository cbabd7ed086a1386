"""A catalog of ten thousand images of one colour each, with a store that has their files."""

from __future__ import annotations

import colorsys
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.active_taxonomies import put_into_force
from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.memory_store import MemoryStore
from worker import catalog, outbox
from worker.catalog.write import EnrichedImage
from worker.db import Engine, transaction
from worker.outbox import NewEntry
from worker.pipeline.spaces.model_loading import space_spec
from worker.tagging import Tagger, Taxonomy, loading
from worker.types import Floats, ObjectRef, Tag

IMAGES = 10_000
BUCKET = "photos"
_BATCH = 1_000
_COLOURS = ("red", "green", "blue")
_CAMERAS = (("ACME", "One"), ("ACME", "Two"), ("Zeta", "Z 9"))


@dataclass(frozen=True, kw_only=True)
class Painted:
    """A file of one colour."""

    key: str
    data: bytes
    colour: tuple[int, int, int]
    size: tuple[int, int]


def colour_taxonomy() -> Taxonomy:
    """Red, green or blue; what lies between two of them gets none of these."""
    labels = "".join(f"  {name}: [a {name} picture]\n" for name in _COLOURS)
    text = f"name: colour\nthreshold: 0.6\nlabels:\n{labels}"
    [file] = loading.parse_files({"colour.yaml": text})
    return file.taxonomy


def fill(engine: Engine, store: MemoryStore, *, images: int = IMAGES, scenes: bool = False) -> Sequence[Painted]:
    """Write images as workers would: files, vectors, tags, feed. Their hues go once around the circle.

    Args:
        engine: of a migrated, empty database.
        store: gets the files.
        images: how many.
        scenes: whether images of the same colour also differ in something else, so that none is a near-duplicate.

    Returns:
        The files, in the order of their keys.
    """
    painted = list(_files(images))
    encoder, taxonomy = ColourEncoder(), colour_taxonomy()
    put_into_force(engine, taxonomy)
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
    vectors = encoder.encode_images([np.full((16, 16, 3), each.colour, dtype=np.uint8) for each in painted])
    if scenes:
        vectors = _made_different(vectors)
    tagger = Tagger(
        [taxonomy], encoder.encode_texts, logit_scale=encoder.logit_scale, model=space.model, space=space.id
    )
    tags = tagger.tag(vectors)
    rows = [_row(*each) for each in zip(count(), painted, vectors, tags, strict=False)]
    for start in range(0, images, _BATCH):
        batch = rows[start : start + _BATCH]
        with transaction(engine) as connection:
            catalog.write.save_images(connection, space_id=space.id, images=batch)
            entries = [NewEntry(kind="enriched", ref=each.info.ref, etag=each.info.etag) for each in batch]
            outbox.append(connection, entries)
    for file in painted:
        store.put(_ref(file), file.data)
    return painted


def _made_different(vectors: Floats) -> Floats:
    """Of unit length still: half of each is a random direction that has no colour."""
    other = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    other[:, : len(_COLOURS)] = 0
    sums = vectors + other / np.linalg.norm(other, axis=1, keepdims=True)
    found: Floats = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return found


def _ref(file: Painted) -> ObjectRef:
    return ObjectRef(bucket=BUCKET, key=file.key)


def _row(number: int, file: Painted, vector: Floats, tags: Sequence[Tag]) -> EnrichedImage:
    """A complete record: only what pages show differs from image to image."""
    like = enriched_image(file.key, vector=vector)
    digest = hashlib.sha256(file.data).hexdigest()
    taken = datetime(2020 + number % 6, 1 + number % 12, 1 + number % 28, number % 24, tzinfo=UTC)
    make, model = _CAMERAS[number % len(_CAMERAS)]
    etag = hashlib.md5(file.data, usedforsecurity=False).hexdigest()
    return replace(
        like,
        info=replace(like.info, etag=etag, size=len(file.data), version_id=None, content_type="image/png"),
        metadata=replace(
            like.metadata,
            width=file.size[0],
            height=file.size[1],
            format="PNG",
            orientation=1,
            taken_at=taken,
            camera_make=make,
            camera_model=model,
            sha256=digest,
            phash=number * 0x9E3779B97F4A7C15 % 2**63,
        ),
        tags=tuple(tags),
    )


def _files(images: int) -> Iterator[Painted]:
    for number in range(images):
        hue = number / images
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.9, 0.6 + 0.4 * (number % 7) / 7))
        colour = (red, green, blue)
        size, buffer, note = (64, 48 if number % 3 else 96), io.BytesIO(), PngInfo()
        note.add_text("Title", str(number))  # no two files are copies of each other
        Image.new("RGB", size, colour).save(buffer, "PNG", pnginfo=note)
        yield Painted(key=f"{2020 + number % 6}/{number:05}.png", data=buffer.getvalue(), colour=colour, size=size)
