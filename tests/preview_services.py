"""Previews and originals of a store, as an API has them."""

from __future__ import annotations

from pathlib import Path

from worker.images import ImageLimits
from worker.objects import ObjectStore
from worker.pipeline.pictures.originals import Originals
from worker.pipeline.pictures.preview_store import CachedPreviews, PreviewStore
from worker.pipeline.pictures.previews import KeptPreviews, PreviewMaker, PreviewSource
from worker.pipeline.pictures.read_picture import PictureReader
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots

LIMITS = ImageLimits(max_bytes=50 << 20, max_pixels=50_000_000, max_side=30_000)


def previews_of(objects: ObjectStore, kept: Path | PreviewStore, *, limits: ImageLimits = LIMITS) -> PreviewSource:
    """Previews of the objects of a store, kept in a folder or in another place."""
    place = CachedPreviews(folder=kept, most_bytes=64 << 20) if isinstance(kept, Path) else kept
    keeps = KeptPreviews(store=place)
    reader = PictureReader(
        store=objects,
        limits=limits,
        budget=ByteBudget(64 << 20),
        decoders=DecodeSlots(count=2, memory=ByteBudget(256 << 20)),
        previews=PreviewMaker(kept=keeps),
    )
    return PreviewSource(kept=keeps, reader=reader)


def originals_of(objects: ObjectStore) -> Originals:
    """URLs of the objects of a store."""
    return Originals(store=objects, public=objects, seconds=60)
