"""Canary check: a bad release or bad files? Retries images that were enriched before."""

from __future__ import annotations

import enum
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker import catalog
from worker.catalog.canary_sample import SampledImage
from worker.db import Engine, transaction
from worker.encoder import Encoder, MicroBatcher
from worker.errors import DeviceMemoryError, ImageRejectedError
from worker.objects import NotRead
from worker.pipeline.enrichment.prepare import FinalOutcome
from worker.pipeline.pictures.read_failure import ReadFailure
from worker.pipeline.pictures.read_picture import PictureReader, StoredPicture
from worker.types import ObjectInfo, Reason, RetryReason

#: Images retried, and how many must pass to blame the files.
_SAMPLE, _ENOUGH = 8, 3

#: Refusals that say nothing about how we read files: the store's, and images that kill our process.
_NOT_OURS = frozenset({
    Reason.ACCESS_DENIED, Reason.NOT_READABLE, Reason.NOT_WATCHED, Reason.ARCHIVED, Reason.KILLED_WORKER,
})  # fmt: skip


class Cause(enum.Enum):
    """What causes the refusals."""

    FILES = "files"
    US = "us"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryResult:
    """The result of a canary check."""

    cause: Cause
    sentence: str


def is_refusal(ended: FinalOutcome) -> bool:
    """Whether an image was refused because of its bytes, or because we failed to process it."""
    return ended.quarantine is not None and ended.quarantine.reason not in _NOT_OURS


def verdict(*, passed: int, refused: int) -> CanaryResult:
    """The conclusion. One image that is refused now with unchanged bytes outweighs any number that passed."""
    if refused:
        sentence = (
            f"{refused} of {passed + refused} images that were enriched before are refused now, with the same bytes: "
            "this release, its settings or its machine is at fault"
        )
        return CanaryResult(cause=Cause.US, sentence=sentence)
    if passed >= _ENOUGH:
        return CanaryResult(cause=Cause.FILES, sentence=f"{passed} images that were enriched before still are")
    sentence = f"only {passed} images that were enriched before could be retried, so the cause is unknown"
    return CanaryResult(cause=Cause.UNKNOWN, sentence=sentence)


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryCheck:
    """Reads images from the catalog again as if they were new. Writes nothing."""

    engine: Engine
    reader: PictureReader
    encoder: Encoder
    batcher: MicroBatcher
    pool: ThreadPoolExecutor

    def __call__(self, suffixes: Collection[str]) -> CanaryResult:
        """Retry a sample; images with the suffixes of the refused ones come first."""
        with transaction(self.engine) as connection:
            sample = catalog.canary_sample.draw(connection, suffixes=suffixes, limit=_SAMPLE)
        results = [each for each in self.pool.map(self._passes, sample) if each is not None]
        return verdict(passed=results.count(True), refused=results.count(False))

    def _passes(self, known: SampledImage) -> bool | None:
        """None: inconclusive, because the object has changed or could not be read."""
        match self.reader.read(known.ref, self.encoder):
            case StoredPicture() as picture:
                return self._encodes(picture) if picture.info.etag == known.etag else None
            case ReadFailure(retry=RetryReason.UNEXPECTED):
                return False
            case ReadFailure(retry=None, reason=reason, info=ObjectInfo(etag=known.etag)):
                return None if reason in _NOT_OURS else False
            case NotRead(info=ObjectInfo(etag=known.etag)):
                return False
        return None

    def _encodes(self, picture: StoredPicture) -> bool | None:
        [result] = self.batcher.encode([picture.pixels])
        if isinstance(result, DeviceMemoryError):
            return None
        return not isinstance(result, ImageRejectedError)
