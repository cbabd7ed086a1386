"""Who is to blame when nearly everything is refused: images that were enriched before are tried again."""

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

#: Images tried again, and how many must pass until the files are to blame.
_SAMPLE, _ENOUGH = 8, 3

#: Refusals that say nothing about how we read files: the store's, and those of images that end our process.
_NOT_OURS = frozenset({
    Reason.ACCESS_DENIED, Reason.NOT_READABLE, Reason.NOT_WATCHED, Reason.ARCHIVED, Reason.KILLED_WORKER,
})  # fmt: skip


class Cause(enum.Enum):
    """Whose fault it is."""

    FILES = "files"
    US = "us"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryResult:
    """What a control came to."""

    cause: Cause
    sentence: str


def is_refusal(ended: FinalOutcome) -> bool:
    """Whether an image was given up for what we found in its bytes, or for what we failed at."""
    return ended.quarantine is not None and ended.quarantine.reason not in _NOT_OURS


def verdict(*, passed: int, refused: int) -> CanaryResult:
    """One image refused that the same bytes once were enriched of outweighs any number that passed."""
    if refused:
        sentence = (
            f"{refused} of {passed + refused} images that were enriched before are refused now, with the same bytes: "
            "this release, its settings or its machine is at fault"
        )
        return CanaryResult(cause=Cause.US, sentence=sentence)
    if passed >= _ENOUGH:
        return CanaryResult(cause=Cause.FILES, sentence=f"{passed} images that were enriched before still are")
    sentence = f"only {passed} images that were enriched before could be tried again, so nobody knows who is at fault"
    return CanaryResult(cause=Cause.UNKNOWN, sentence=sentence)


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryCheck:
    """Reads images again that the catalog has, as if they were new. Writes nothing."""

    engine: Engine
    reader: PictureReader
    encoder: Encoder
    batcher: MicroBatcher
    pool: ThreadPoolExecutor

    def __call__(self, suffixes: Collection[str]) -> CanaryResult:
        """Try a sample; images named like those that are refused come first."""
        with transaction(self.engine) as connection:
            sample = catalog.canary_sample.draw(connection, suffixes=suffixes, limit=_SAMPLE)
        results = [each for each in self.pool.map(self._passes, sample) if each is not None]
        return verdict(passed=results.count(True), refused=results.count(False))

    def _passes(self, known: SampledImage) -> bool | None:
        """None: nothing was learnt, because the object has changed or could not be had."""
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
