"""Filling a space from previews: which vectors they are is said, and there is a way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.pipeline.spaces.world import LIMITS, World, reader
from tests.ledger import hints, ref
from tests.pictures import picture
from tests.waiting import until
from worker import catalog, ledger
from worker.catalog.spaces import FilledSpace, Space
from worker.db import transaction
from worker.errors import FatalDeviceError
from worker.pipeline.pictures.preview_pixels import PreviewReader
from worker.pipeline.pictures.preview_store import CachedPreviews
from worker.pipeline.pictures.previews import KeptPreviews, PreviewMaker
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.pipeline.spaces import preview_parity
from worker.pipeline.spaces.fill import FillResult, FillRun
from worker.pipeline.spaces.fill_batch import BatchFiller
from worker.pipeline.spaces.preview_lease import wanting_previews
from worker.types import FillSource

COLOURS = {"red.jpg": "red", "green.jpg": "green", "blue.jpg": "blue"}


class Site:
    """A world whose worker makes previews."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.kept = KeptPreviews(store=CachedPreviews(folder=folder, most_bytes=64 << 20))
        serving = world.serving.enricher
        making = replace(serving.preparer.reader, previews=PreviewMaker(kept=self.kept))
        world.serving.enricher = replace(serving, preparer=replace(serving.preparer, reader=making))

    def filler(self, space: Space) -> BatchFiller:
        slots = DecodeSlots(count=2, memory=ByteBudget(1 << 26))
        previews = PreviewReader(kept=self.kept, limits=LIMITS, decoders=slots)
        made = PreviewMaker(kept=self.kept, only_missing=True)
        return replace(
            self.world.filler(space), previews=previews, reader=replace(reader(self.world.store), previews=made)
        )

    def fill(self, space: Space, source: FillSource | None) -> FillResult:
        return FillRun(engine=self.world.engine, filler=self.filler(space), threads=2, source=source).run()

    def wants_previews(self, space: Space) -> bool:
        with transaction(self.world.engine) as connection:
            return catalog.preview_fills.began(connection, space.id) is not None

    def level(self, space: Space) -> FilledSpace:
        with transaction(self.world.engine) as connection:
            assert [] == catalog.space_counters.miscounts(connection)
            return next(each for each in catalog.spaces.fill_levels(connection) if each.id == space.id)


@pytest.fixture
def site(world: World, tmp_path: Path) -> Site:
    return Site(world, tmp_path / "previews")


def test_a_space_is_filled_without_the_originals(site: Site) -> None:
    """No original is read, the tags are right, and the space says how many vectors come from previews."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    site.world.store.gets.clear()
    done = site.fill(new, FillSource.PREVIEWS)
    assert (3, 3, 0) == (done.filled, done.from_previews, done.missing)
    assert [] == site.world.store.gets
    assert COLOURS == site.world.tags_in(new)
    assert (3, 3) == (site.level(new).images, site.level(new).from_previews)


def test_an_image_without_a_preview_is_read_from_its_original(site: Site) -> None:
    """It is counted, and gets its preview for the next time."""
    site.world.enriched(**COLOURS)
    new, other = site.world.space("turned"), site.world.space("turned too")
    [red, *_] = site.world.sql("SELECT encode(sha256, 'hex') FROM images WHERE key = 'red.jpg'")
    for size in (256, 512):
        next(Path(site.kept.store.describe()).rglob(f"{red}-{size}.webp")).unlink()
    done = site.fill(new, FillSource.PREVIEWS)
    assert (3, 2, {ref("red.jpg")}) == (done.filled, done.from_previews, {*site.world.store.gets[3:]})
    assert 3 == site.fill(other, FillSource.PREVIEWS).from_previews


def test_a_fill_from_originals_replaces_vectors_from_previews(site: Site) -> None:
    """All of them, while the others stay; without a source, what is there is left alone."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    site.fill(new, FillSource.PREVIEWS)
    assert (0, 3) == (site.fill(new, None).filled, site.level(new).from_previews)
    done = site.fill(new, FillSource.ORIGINALS)
    assert (3, 0, 0) == (done.filled, done.from_previews, done.missing)
    assert (3, 0) == (site.level(new).images, site.level(new).from_previews)
    assert 0 == site.fill(new, FillSource.ORIGINALS).filled


def test_uploads_after_a_fill_are_embedded_from_originals(site: Site) -> None:
    """Whoever fills the queue: the wish ends with the fill."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    site.fill(new, FillSource.PREVIEWS)
    site.world.enriched(**{"later.jpg": "red"})
    site.filler(new).run_once()
    assert (4, 3) == (site.level(new).images, site.level(new).from_previews)


def test_a_worker_beside_the_fill_reads_previews_too(site: Site) -> None:
    """The space says what its missing vectors are made from, so that a helping worker does not read originals."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    with transaction(site.world.engine) as connection:
        catalog.preview_fills.begin(connection, new.id)
        catalog.embedding_queue.enqueue_missing(connection, new.id, after=0, limit=10)
    report = site.filler(new).run_once()
    assert report is not None
    assert (3, 3) == (report.filled, report.from_previews)


def test_an_upload_during_a_fill_is_embedded_from_its_original(site: Site) -> None:
    """Its preview was just made, and the fill still wants previews: of what was there when it began."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    with wanting_previews(site.world.engine, new.id):
        site.world.enriched(**{"later.jpg": "red"})
        with transaction(site.world.engine) as connection:
            catalog.embedding_queue.enqueue_missing(connection, new.id, after=0, limit=10)
        report = site.filler(new).run_once()
    assert report is not None
    assert (4, 3) == (report.filled, report.from_previews)
    assert ["later.jpg"] == site.world.sql(
        "SELECT i.key FROM embeddings e JOIN images i ON i.id = e.image_id WHERE space_id = :s AND NOT from_preview",
        s=new.id,
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, FatalDeviceError("the device is broken")])
def test_a_fill_that_is_interrupted_wants_no_previews_any_more(site: Site, error: BaseException) -> None:
    """What other processes embed later is read from originals."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    seen = []

    def interrupt(_: object) -> None:
        seen.append(site.wants_previews(new))
        raise error

    run = FillRun(
        engine=site.world.engine, filler=site.filler(new), threads=1, source=FillSource.PREVIEWS, progress=interrupt
    )
    with pytest.raises((KeyboardInterrupt, FatalDeviceError)):
        run.run()
    assert ([True], False) == (seen, site.wants_previews(new))


def test_a_fill_that_is_killed_wants_no_previews_a_minute_later(site: Site) -> None:
    """It cannot say that it has ended, so its lease ends."""
    new = site.world.space("turned")
    with transaction(site.world.engine) as connection:
        catalog.preview_fills.begin(connection, new.id)
    assert site.wants_previews(new)
    site.world.sql("UPDATE preview_fills SET expires_at = expires_at - interval '59 s'")
    assert site.wants_previews(new)
    site.world.sql("UPDATE preview_fills SET expires_at = expires_at - interval '1 s'")
    assert not site.wants_previews(new)


def test_a_fill_that_runs_renews_its_lease(site: Site) -> None:
    """It may take days."""
    new = site.world.space("turned")
    with wanting_previews(site.world.engine, new.id, interval=0.05):
        site.world.sql("UPDATE preview_fills SET expires_at = clock_timestamp() - interval '1 s'")
        until(lambda: site.wants_previews(new))
    assert not site.wants_previews(new)


def test_a_fill_that_ends_first_leaves_the_other_its_previews(site: Site) -> None:
    """Whether it wanted previews or not."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    with wanting_previews(site.world.engine, new.id):
        for source in (FillSource.PREVIEWS, None):
            site.fill(new, source)
            assert site.wants_previews(new)


def test_new_bytes_forget_that_the_old_vector_came_from_a_preview(site: Site) -> None:
    """The flag belongs to the vector, which goes with the bytes."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    site.fill(new, FillSource.PREVIEWS)
    site.world.enriched(**{"red.jpg": "blue"})
    assert (2, 2) == (site.level(new).images, site.level(new).from_previews)


def test_a_long_picture_is_read_from_its_original(site: Site) -> None:
    """Its preview has too few pixels across for the model."""
    site.world.store.put(ref("long.png"), picture("red", (4_000, 60), "PNG"), "image/png")
    site.world.upload("red.jpg")
    with transaction(site.world.engine) as connection:
        ledger.hints.hint(connection, hints("long.png"))
    site.world.work()
    new = site.world.space("turned")
    done = site.fill(new, FillSource.PREVIEWS)
    assert (2, 1) == (done.filled, done.from_previews)


def test_a_model_that_wants_whole_pictures_reads_previews_too(site: Site) -> None:
    """ENRICH_PREPROCESSING=exact decodes originals at full size; a preview has all that the model sees."""
    site.world.store.put(ref("large.jpg"), picture("red", (900, 700)), "image/jpeg")
    with transaction(site.world.engine) as connection:
        ledger.hints.hint(connection, hints("large.jpg"))
    site.world.work()
    new = site.world.space("turned")
    filler = site.filler(new)
    encoder = filler.model.encoder
    encoder._traits = replace(encoder.traits, exact=True)
    done = FillRun(engine=site.world.engine, filler=filler, threads=1, source=FillSource.PREVIEWS).run()
    assert (None, 1) == (encoder.shrink_to, done.from_previews)


def test_parity_with_originals_is_measured_and_kept(site: Site) -> None:
    """Cosines, tags and bytes of a sample; the space shows them from then on."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    site.fill(new, FillSource.PREVIEWS)
    found = preview_parity.measure(site.filler(new), sample=2)
    assert found is not None
    assert (2, 1.0, True) == (found.images, found.same_tags, found.is_sufficient)
    assert 0.99 < found.least <= found.mean <= 1.001
    kept = site.level(new).preview_parity
    assert kept is not None
    assert (2, True) == (kept["images"], "at" in kept)


def test_nothing_is_compared_where_nothing_comes_from_previews(site: Site) -> None:
    """Then there is no number, instead of a perfect one."""
    site.world.enriched(**COLOURS)
    new = site.world.space("turned")
    site.fill(new, None)
    assert preview_parity.measure(site.filler(new), sample=2) is None
