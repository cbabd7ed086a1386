"""The use case: tag local files without any server, with the same code that tags uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from worker import tagging
from worker.encoder import Encoder, Pixels
from worker.errors import ImageRejectedError
from worker.images import ImageLimits
from worker.pipeline.pictures.decode_picture import decode_picture
from worker.pipeline.taxonomies.abstention_summary import AbstentionSummary, summary
from worker.tagging import Abstention, AbstentionCounts, Tagger
from worker.types import SUGGESTION, Floats, ImageMetadata, Reason, Tag


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggedFile:
    """A tagged file."""

    path: Path
    metadata: ImageMetadata
    tags: tuple[Tag, ...]
    abstentions: tuple[Abstention, ...]  # of the taxonomies that apply and give no label


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedFile:
    """A file that could not be tagged, and why."""

    path: Path
    reason: Reason | None  # None: the file could not be read at all
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileTagger:
    """Decodes in threads, encodes in batches, yields in the order given."""

    encoder: Encoder
    tagger: Tagger
    limits: ImageLimits
    threads: int
    batch: int
    counted: AbstentionCounts = field(default_factory=AbstentionCounts)  # so far

    def run(self, paths: Sequence[Path]) -> Iterator[TaggedFile | RefusedFile]:
        """Tag files; a bad file does not affect the others."""
        remaining = iter(paths)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as pool:
            while batch := list(islice(remaining, self.batch)):
                yield from self._tag(list(pool.map(self._read, batch)))

    def _tag(
        self, read: Sequence[tuple[Path, ImageMetadata, Pixels] | RefusedFile]
    ) -> Iterator[TaggedFile | RefusedFile]:
        pixels = [each[2] for each in read if not isinstance(each, RefusedFile)]
        vectors = self.encoder.encode_images(pixels)
        usable = [bool(np.isfinite(vector).all()) for vector in vectors]
        tagged = iter(self._decide(vectors[usable]))
        good = iter(usable)
        for each in read:
            if isinstance(each, RefusedFile):
                yield each
            elif next(good):
                tags, abstained = next(tagged)
                yield TaggedFile(path=each[0], metadata=each[1], tags=tags, abstentions=abstained)
            else:
                yield RefusedFile(path=each[0], reason=Reason.ENCODER_REFUSED, message="the model gives no vector")

    def summaries(self) -> dict[str, AbstentionSummary]:
        """Why the files so far have no label, by taxonomy."""
        return {each.name: summary(self.counted, each.name) for each in self.tagger.taxonomies}

    def _decide(self, vectors: Floats) -> list[tuple[tuple[Tag, ...], tuple[Abstention, ...]]]:
        decided = self.tagger.decide(vectors)
        self.counted.add(decided, len(vectors))
        every = tagging.tags(decided, len(vectors))
        tags = [tuple(tag for tag in own if tag.source != SUGGESTION) for own in every]  # abstentions name these
        return list(zip(tags, tagging.abstentions(decided, len(vectors)), strict=True))

    def _read(self, path: Path) -> tuple[Path, ImageMetadata, Pixels] | RefusedFile:
        try:
            if path.stat().st_size > self.limits.max_bytes:
                raise ImageRejectedError(Reason.TOO_MANY_BYTES, f"larger than {self.limits.max_bytes:,} bytes")  # noqa: TRY301
            return path, *decode_picture(path.read_bytes(), encoder=self.encoder, limits=self.limits)
        except ImageRejectedError as error:
            return RefusedFile(path=path, reason=error.reason, message=str(error))
        except OSError as error:
            return RefusedFile(path=path, reason=None, message=error.strerror or str(error))
