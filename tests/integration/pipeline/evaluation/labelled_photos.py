"""A catalog of the labelled development photos, with the starter's vectors and the shipped taxonomies."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from tests.active_taxonomies import put_into_force
from tests.factories import enriched_image
from tests.labelled_photos import PHOTOS, answers
from tests.own_taxonomies import load
from worker import catalog
from worker.db import Engine, transaction
from worker.pipeline.spaces.model_loading import space_spec
from worker.tagging import Tagger, load_taxonomies
from worker.types import Floats

ROOT = Path(__file__).resolve().parents[4]
TAXONOMIES = ("time-of-day", "setting", "document-page")
BUCKET = "photos"


def key(photo: Path) -> str:
    return photo.relative_to(PHOTOS).as_posix()


@lru_cache(maxsize=1)
def embedded() -> tuple[list[Path], list[int], Floats]:
    """All photos, their perceptual hashes, and their vectors."""
    photos = [photo for taxonomy in TAXONOMIES for photo in answers(taxonomy)]
    model, pixels, hashes = load(), [], []
    for photo in photos:
        with Image.open(photo) as image:
            pixels.append(model.preprocess(image))
            hashes.append(int(str(imagehash.phash(image)), 16))
    vectors = np.concatenate([model.encode_images(pixels[start : start + 16]) for start in range(0, len(pixels), 16)])
    return photos, [each - (1 << 64) if each >> 63 else each for each in hashes], vectors


def fill(engine: Engine) -> None:
    """As workers do."""
    photos, hashes, vectors = embedded()
    model = load()
    taxonomies = load_taxonomies([str(ROOT / "schemas" / "taxonomies" / f"{name}.yaml") for name in TAXONOMIES])
    tagger = Tagger(taxonomies, model.encode_texts, logit_scale=model.logit_scale, model="starter")
    put_into_force(engine, *taxonomies)
    images = []
    for photo, phash, vector, tags in zip(photos, hashes, vectors, tagger.tag(vectors), strict=True):
        made = enriched_image(key(photo), vector=vector)
        digest = hashlib.sha256(photo.read_bytes()).hexdigest()
        images.append(replace(made, tags=tags, metadata=replace(made.metadata, sha256=digest, phash=phash)))
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(model), source="starter")
        catalog.write.save_images(connection, space_id=space.id, images=images)


def write_csv(file: Path, taxonomy: str) -> None:
    """The labels, as `enrich evaluate --labels` reads them."""
    rows = "".join(f"{BUCKET},{key(photo)},{label}\n" for photo, label in answers(taxonomy).items())
    file.write_text(f"bucket,key,label\n{rows}")
