"""The use case: how vectors that were made from previews compare with those of their originals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from worker import catalog
from worker.catalog.spaces import PreviewedImage
from worker.db import transaction
from worker.images.previews import PREVIEW
from worker.pipeline.pictures.read_picture import StoredPicture
from worker.pipeline.spaces.fill_batch import BatchFiller
from worker.types import Floats, Tag

#: Least mean cosine with which previews do instead of originals.
LEAST_MEAN = 0.99


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewParity:
    """A sample of images, embedded from their previews and from their originals."""

    images: int
    mean: float  # of the cosines
    low: float  # a twentieth of them is below
    least: float
    same_tags: float  # share of images for which every taxonomy gives the same labels
    original_bytes: int  # of the files that were read
    preview_bytes: int  # of the previews of the same images

    @property
    def is_sufficient(self) -> bool:
        """Whether the mean cosine is at least ``LEAST_MEAN``."""
        return self.mean >= LEAST_MEAN


def measure(filler: BatchFiller, *, sample: int) -> PreviewParity | None:
    """Read originals of images whose vector was made from their preview, and compare; the space keeps the result.

    Args:
        filler: of the space.
        sample: most images.

    Returns:
        None if no such image can be compared: there is none, or their originals cannot be read.
    """
    space = filler.model.space
    with transaction(filler.engine) as connection:
        images = catalog.spaces.sample_of_previews(connection, space.id, limit=sample)
        ids, stored = catalog.bulk_read.read_vectors(connection, space, [each.id for each in images])
    rows = {int(id_): vector for id_, vector in zip(ids, stored, strict=True)}
    read = _originals(filler, [each for each in images if each.id in rows])
    if not read:
        return None
    fresh = np.stack([vector for _, _, vector in read])
    found = _compared(filler, np.stack([rows[image.id] for image, _, _ in read]), fresh, read)
    with transaction(filler.engine) as connection:
        catalog.spaces.note_parity(connection, space.id, asdict(found))
    return found


def _originals(
    filler: BatchFiller, images: Sequence[PreviewedImage]
) -> list[tuple[PreviewedImage, StoredPicture, Floats]]:
    """Those that still have the same bytes, with the vectors of their originals."""
    encoder, read = filler.model.encoder, []
    pictures = filler.pool.map(lambda each: filler.reader.read(each.ref, encoder, is_image=True), images)
    for image, picture in zip(images, pictures, strict=True):
        if isinstance(picture, StoredPicture) and picture.metadata.sha256 == image.sha256:
            read.append((image, picture))
    vectors = filler.model.batcher.encode([picture.pixels for _, picture in read]) if read else []
    return [
        (image, picture, vector)
        for (image, picture), vector in zip(read, vectors, strict=True)
        if not isinstance(vector, Exception)
    ]


def _compared(
    filler: BatchFiller,
    stored: Floats,
    fresh: Floats,
    read: Sequence[tuple[PreviewedImage, StoredPicture, Floats]],
) -> PreviewParity:
    cosines = (stored * fresh).sum(axis=1) / np.linalg.norm(stored, axis=1) / np.linalg.norm(fresh, axis=1)
    tagger = filler.model.labels.now.tagger
    same = [_labels(a) == _labels(b) for a, b in zip(tagger.tag(stored), tagger.tag(fresh), strict=True)]
    return PreviewParity(
        images=len(read),
        mean=float(cosines.mean()),
        low=float(np.quantile(cosines, 0.05)),
        least=float(cosines.min()),
        same_tags=float(np.mean(same)),
        original_bytes=sum(picture.info.size for _, picture, _ in read),
        preview_bytes=sum(_preview_bytes(filler, image) for image, _, _ in read),
    )


def _labels(tags: Sequence[Tag]) -> set[tuple[str, str | None, str]]:
    return {(each.taxonomy, each.label, each.source) for each in tags}


def _preview_bytes(filler: BatchFiller, image: PreviewedImage) -> int:
    kept = filler.previews.kept.get(image.sha256, PREVIEW) if filler.previews else None
    return len(kept or b"")
