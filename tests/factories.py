"""Values for tests, complete and plausible."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from tests.ledger import ref
from worker.catalog.write import EnrichedImage
from worker.types import Floats, ImageMetadata, ObjectInfo, SpaceSpec, Tag

DIMENSION = 32
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def spec(model: str = "tiny") -> SpaceSpec:
    return SpaceSpec(model=model, revision="r1", preprocessing="p1", dimension=DIMENSION)


def unit(axis: int, amount: float = 1.0) -> Floats:
    """A unit vector along ``axis``, or between it and the next one."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[axis], vector[(axis + 1) % DIMENSION] = amount, np.sqrt(1 - amount**2)
    return vector


def enriched_image(
    key: str,
    *,
    label: str | None = "day",
    vector: Floats | None = None,
    taken_at: datetime | None = None,
) -> EnrichedImage:
    return EnrichedImage(
        info=ObjectInfo(
            ref=ref(key), etag=f"etag-{key}", size=1234, last_modified=NOON, version_id="v1", content_type="image/jpeg"
        ),
        metadata=ImageMetadata(
            width=640,
            height=480,
            format="JPEG",
            mode="RGB",
            frames=1,
            orientation=6,
            sha256="ab" * 32,
            phash=-1234567890123456789,
            taken_at=taken_at,
            camera_make="ACME",
            camera_model="One",
            latitude=-33.5,
            longitude=151.25,
            altitude=12.5,
            iso=200,
            exposure_time=0.008,
            f_number=2.8,
            focal_length=35.0,
            focal_length_35mm=52,
            lens_make="Acme",
            lens_model="35 f/2",
        ),
        vector=unit(0) if vector is None else vector,
        tags=(Tag(taxonomy="time-of-day", version="v", label=label, score=0.25, probability=0.75),),
        event_at=NOON,
        hinted_at=NOON,
    )
