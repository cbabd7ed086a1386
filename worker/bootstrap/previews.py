"""Wiring of previews and presigned originals."""

from __future__ import annotations

from worker import bootstrap, preview_place
from worker.bootstrap import s3_store
from worker.objects import WatchedStore
from worker.pipeline.pictures.originals import Originals
from worker.pipeline.pictures.preview_pixels import PreviewReader
from worker.pipeline.pictures.preview_store import BucketPreviews, CachedPreviews, NothingKept, PreviewStore
from worker.pipeline.pictures.previews import KeptPreviews, PreviewMaker, PreviewSource
from worker.pipeline.pictures.read_picture import PictureReader
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.settings import Settings

#: Pictures decoded at once for previews that were asked for, and bytes for their files and for decoding them.
THREADS = 2
_FILE_BYTES = 256 << 20
_DECODER_BYTES = 256 << 20


def kept(settings: Settings) -> KeptPreviews:
    """Where previews are kept."""
    return KeptPreviews(store=_store(settings))


def maker(settings: Settings, *, only_missing: bool = False) -> PreviewMaker | None:
    """Makes previews of what a worker decodes; None: only those that somebody asks for are made."""
    return None if settings.previews is None else PreviewMaker(kept=kept(settings), only_missing=only_missing)


def reader(settings: Settings, decoders: DecodeSlots) -> PreviewReader | None:
    """Reads previews in place of originals; None if workers make none."""
    if settings.previews is None:
        return None
    return PreviewReader(kept=kept(settings), limits=bootstrap.limits(settings), decoders=decoders)


def source(settings: Settings) -> PreviewSource:
    """Previews of stored images, kept or made."""
    return _source(settings, kept(settings))


def _source(settings: Settings, keeps: KeptPreviews) -> PreviewSource:
    reader = PictureReader(
        store=bootstrap.store(settings),
        limits=bootstrap.limits(settings),
        budget=ByteBudget(_FILE_BYTES),
        decoders=DecodeSlots(count=THREADS, memory=ByteBudget(_DECODER_BYTES)),
        previews=PreviewMaker(kept=keeps),
    )
    return PreviewSource(kept=keeps, reader=reader)


def source_for_commands(settings: Settings) -> PreviewSource:
    """As ``source``, but a folder is not made for them where a person runs a command without a home."""
    if settings.previews is None and not settings.home.expanduser().exists():
        return _source(settings, KeptPreviews(store=NothingKept()))
    return source(settings)


def originals(settings: Settings) -> Originals:
    """Presigned URLs of watched objects."""
    outside = s3_store.connect(settings, pool_size=1, endpoint_url=settings.s3_public_endpoint_url)
    return Originals(
        store=bootstrap.store(settings),
        public=WatchedStore(outside, settings.watched),
        seconds=settings.original_url_seconds,
    )


def _store(settings: Settings) -> PreviewStore:
    place = None if settings.previews is None else preview_place.parse(settings.previews, settings.watched)
    if place is None:
        return CachedPreviews(folder=settings.home.expanduser() / "previews", most_bytes=settings.preview_cache_bytes)
    threads = settings.fetch_threads + bootstrap.decode_threads(settings)
    return BucketPreviews(store=s3_store.connect(settings, pool_size=threads), bucket=place.bucket, prefix=place.prefix)
