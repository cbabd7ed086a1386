"""The use case: compute vectors missing in a space, behind all live work.

Nothing here can hurt the active space: an image that a filling space's model fails on is noted there, and stays as it
is everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np

from worker import catalog, ledger, logs, outbox
from worker.catalog.embedding_queue import Postponement, QueuedBatch, QueuedImage
from worker.catalog.spaces import Space
from worker.catalog.write import EmbeddedImage
from worker.db import Connection, Engine, Trouble, transaction, trouble
from worker.encoder import Encoder, MicroBatcher, Pixels
from worker.errors import FatalDeviceError, OutdatedTaxonomiesError
from worker.pipeline.pictures.preview_pixels import PreviewReader
from worker.pipeline.pictures.read_failure import ReadFailure, failure_of
from worker.pipeline.pictures.read_picture import PictureReader, StoredPicture
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.pipeline.taxonomies.active_taxonomies import ActiveTagger, ActiveTaxonomies
from worker.types import Floats, Hint, Lane

_log = logs.get("pipeline")

#: Seconds until images are retried after a store outage, which does not count as an attempt.
_OUTAGE_DELAY = 10.0
#: Seconds until an image that a worker has claimed is checked again.
_CONTENDED_DELAY = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _ReadyImage:
    """An image that is ready for the encoder."""

    image: QueuedImage
    pixels: Pixels
    sha256: str  # of the bytes that the pixels show
    from_preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FillReport:
    """The result of one batch."""

    filled: int
    from_previews: int  # of these
    changed: int  # the object has changed: hinted for a worker
    later: int  # to be retried
    failed: int  # given up


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A space with its loaded model and tagger."""

    space: Space
    encoder: Encoder
    batcher: MicroBatcher  # the encoder's
    labels: ActiveTaxonomies


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFiller:
    """Processes a space's queue, one batch at a time; called from several threads and processes at once."""

    engine: Engine
    reader: PictureReader
    model: Model
    policy: RetryPolicy
    pool: ThreadPoolExecutor  # fetches and decodes
    batch: int
    lease: float  # seconds; not renewed: a late worker has only wasted its time
    previews: PreviewReader | None = None  # read in place of originals, while a fill wants that

    def run_once(self) -> FillReport | None:
        """Process one batch.

        Returns:
            None when there was nothing to do, or live work should have the machine.

        Raises:
            FatalDeviceError: the process must end; its images are tried alone once its lease has ended.
        """
        space = self.model.space.id
        with transaction(self.engine) as connection:
            urgent = ledger.claims.urgent(connection)
            claimed = (
                None if urgent else catalog.embedding_queue.claim(connection, space, size=self.batch, lease=self.lease)
            )
            before = catalog.preview_fills.began(connection, space)
        if claimed is None:
            return None
        try:
            return self._work(claimed, before)
        except FatalDeviceError:
            raise
        except BaseException:
            self._give_back(claimed)
            raise

    def _give_back(self, claimed: QueuedBatch) -> None:
        try:
            with transaction(self.engine) as connection:
                catalog.embedding_queue.release(connection, self.model.space.id, claimed.token)
        except Exception as error:  # noqa: BLE001  # the lease ends by itself
            _log.warning("a batch could not be given back; its lease will expire", action="fill", error=str(error))

    def _work(self, claimed: QueuedBatch, before: datetime | None) -> FillReport:
        worn = [each for each in claimed.images if each.attempts > self.policy.max_attempts]
        fresh = [each for each in claimed.images if each.attempts <= self.policy.max_attempts]
        results = list(self.pool.map(partial(self._read, before=before), fresh))
        vectors, failed = self._encode([each for each in results if isinstance(each, _ReadyImage)])
        postponed = failed + [each for each in results if isinstance(each, Postponement)]
        postponed += [_given_up(each, "every worker that tried it died") for each in worn]
        changed = [image for image, result in zip(fresh, results, strict=True) if result is None]
        return self._write(claimed, vectors, changed, postponed)

    # -- reading -----------------------------------------------------------------------------------------------------
    def _read(self, image: QueuedImage, before: datetime | None = None) -> _ReadyImage | Postponement | None:
        """Fetch, decode and prepare one image; None if the store has something else, for the normal path to see.

        The preview is read instead if the image was enriched up to the moment ``before``.
        """
        encoder = self.model.encoder
        pixels = None
        if self.previews is not None and before is not None and image.enriched_at <= before:
            pixels = self.previews.read(image.sha256, shorter=image.shorter, encoder=encoder)
        if pixels is not None:
            return _ReadyImage(image=image, pixels=pixels, sha256=image.sha256, from_preview=True)
        match self.reader.read(image.ref, encoder, is_image=True):
            case StoredPicture() as picture:
                return _ReadyImage(image=image, pixels=picture.pixels, sha256=picture.metadata.sha256)
            case ReadFailure() as failure:
                return self._failed(image, failure)
            case _:
                return None

    def _failed(self, image: QueuedImage, failure: ReadFailure) -> Postponement:
        if failure.retry is None:
            return _given_up(image, failure.message)
        if not failure.counted:
            return Postponement(id=image.id, error=failure.message, delay=_OUTAGE_DELAY, counted=False)
        if self.policy.exhausted(image.attempts):
            return _given_up(image, f"{failure.message} (after {image.attempts} attempts)")
        return Postponement(id=image.id, error=failure.message, delay=self.policy.delay(image.attempts))

    # -- encoding ----------------------------------------------------------------------------------------------------
    def _encode(self, read: Sequence[_ReadyImage]) -> tuple[list[tuple[_ReadyImage, Floats]], list[Postponement]]:
        vectors: list[tuple[_ReadyImage, Floats]] = []
        failed: list[Postponement] = []
        for each, result in zip(read, self.model.batcher.encode([each.pixels for each in read]), strict=True):
            if isinstance(result, Exception):
                failed.append(self._failed(each.image, failure_of(result, each.image.ref)))
            else:
                vectors.append((each, result))
        return vectors, failed

    # -- writing -----------------------------------------------------------------------------------------------------
    def _write(
        self,
        claimed: QueuedBatch,
        vectors: Sequence[tuple[_ReadyImage, Floats]],
        changed: list[QueuedImage],
        postponed: list[Postponement],
    ) -> FillReport:
        """Write in two transactions, each locking in the same order as workers: the ledger, images, the queue."""
        by = self.model.labels.now
        while True:
            try:
                return self._write_by(by, claimed, vectors, changed, postponed)
            except OutdatedTaxonomiesError:
                by = self.model.labels.follow()

    def _write_by(
        self,
        by: ActiveTagger,
        claimed: QueuedBatch,
        vectors: Sequence[tuple[_ReadyImage, Floats]],
        changed: list[QueuedImage],
        postponed: list[Postponement],
    ) -> FillReport:
        space = self.model.space.id
        images_of = {read.image.id: read for read, _ in vectors}
        embedded = _tagged(vectors, by)
        with transaction(self.engine) as connection:
            catalog.taxonomy_revisions.hold(connection, by.revision)  # before anything is locked
            catalog.spaces.hold_active(connection)
            if not catalog.write.is_open(connection, space):
                # Retired meanwhile, and its queue with it, but for what was queued at that moment.
                catalog.embedding_queue.complete(connection, space, claimed.token, [each.id for each in claimed.images])
                return FillReport(filled=0, from_previews=0, changed=0, later=0, failed=0)
            locked = catalog.image_locks.lock(connection, list(images_of))
            # Somebody else may hold a newer token for these by now. Their vectors are right all the same: the images
            # are still those that were read.
            read = {id_: each.sha256 for id_, each in images_of.items()}
            written = [each for each in embedded if locked.hashes.get(each.image_id) == read[each.image_id]]
            if written:
                catalog.write.save_vectors(connection, space, written)
                self._announce(connection, [images_of[each.image_id].image for each in written], locked.etags)
            done = {each.image_id for each in written} | locked.gone
            catalog.embedding_queue.complete(connection, space, claimed.token, sorted(done))
        changed += [images_of[id_].image for id_ in locked.hashes.keys() - done]
        postponed += [_contended(id_) for id_ in images_of.keys() - locked.hashes.keys() - locked.gone]
        self._put_back(claimed, changed, postponed)
        return _report(claimed, postponed, written, changed=len(changed))

    def _announce(self, connection: Connection, images: Sequence[QueuedImage], etags: Mapping[int, str | None]) -> None:
        """In the feed, where tags came into views: in the active space, which this one may have become meanwhile."""
        active = catalog.spaces.active(connection)
        if active is not None and active.id == self.model.space.id:
            entries = [outbox.NewEntry(kind="enriched", ref=image.ref, etag=etags[image.id]) for image in images]
            outbox.append(connection, entries)

    def _put_back(
        self, claimed: QueuedBatch, changed: Sequence[QueuedImage], postponed: Sequence[Postponement]
    ) -> None:
        """What has no vector yet. Of an object that is not what the catalog says, a worker owes us what it finds."""
        if not (changed or postponed):
            return
        hints = [Hint(ref=each.ref, source="fill", event="changed") for each in changed]
        with transaction(self.engine) as connection:
            ledger.hints.hint(connection, hints, lane=Lane.BACKFILL)
            catalog.embedding_queue.complete(
                connection, self.model.space.id, claimed.token, [each.id for each in changed]
            )
            catalog.embedding_queue.postpone(connection, self.model.space.id, claimed.token, postponed)


def is_temporary(error: BaseException) -> bool:
    """Whether the database is temporarily unavailable, so that the same may succeed a little later."""
    return trouble(error) in (Trouble.AWAY, Trouble.BUSY)


def _tagged(vectors: Sequence[tuple[_ReadyImage, Floats]], by: ActiveTagger) -> list[EmbeddedImage]:
    if not vectors:
        return []
    tags = by.tagger.tag(np.stack([vector for _, vector in vectors]))
    return [
        EmbeddedImage(image_id=read.image.id, vector=vector, tags=its, from_preview=read.from_preview)
        for (read, vector), its in zip(vectors, tags, strict=True)
    ]


def _given_up(image: QueuedImage, error: str) -> Postponement:
    return Postponement(id=image.id, error=error, delay=None)


def _contended(image: int) -> Postponement:
    return Postponement(id=image, error="a worker is processing it", delay=_CONTENDED_DELAY, counted=False)


def _report(
    claimed: QueuedBatch, postponed: Sequence[Postponement], written: Sequence[EmbeddedImage], *, changed: int
) -> FillReport:
    refs = {each.id: each.ref for each in claimed.images}
    failed = [each for each in postponed if each.delay is None]
    for each in failed:
        _log.warning("an image cannot be embedded", action="fill", ref=str(refs[each.id]), error=each.error)
    return FillReport(
        filled=len(written),
        from_previews=sum(each.from_preview for each in written),
        changed=changed,
        later=len(postponed) - len(failed),
        failed=len(failed),
    )
