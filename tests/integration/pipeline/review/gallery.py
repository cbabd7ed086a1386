"""A catalog whose images differ in bytes and looks, and people who decide about them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from tests.factories import enriched_image
from tests.integration.pipeline.taxonomies.archive import COLOUR, Archive
from tests.ledger import ref
from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.image_filter import TagFilter
from worker.catalog.search import Nearest
from worker.catalog.write import EnrichedImage
from worker.db import transaction
from worker.pipeline.review import decide
from worker.pipeline.review.decide import DecisionBatch, DecisionRequest
from worker.pipeline.review.queues import QueueItem, ReviewQueues
from worker.tagging import Calibration
from worker.types import Floats, Tag

CAUTIOUS = replace(COLOUR, calibration=Calibration(threshold=0.9, temperature=3))


class Gallery(Archive):
    """Like an archive, with different pictures."""

    def write(self, images: dict[str, Floats], *, salt: str = "", phash: int | None = None) -> None:
        """As a worker does; ``salt`` changes the bytes."""
        by = self.labels.now
        tags = by.tagger.tag(np.stack(list(images.values())))
        with transaction(self.engine) as connection:
            catalog.taxonomy_revisions.hold(connection, by.revision)
            rows = [
                picture(key, vector, its, salt=salt, phash=phash)
                for (key, vector), its in zip(images.items(), tags, strict=True)
            ]
            catalog.write.save_images(connection, space_id=self.space.id, images=rows)
        self.written |= images

    @property
    def queues(self) -> ReviewQueues:
        return ReviewQueues(self.engine, self.build, self._by_words, self._by_label)

    def _by_words(self, words: str, /, *, limit: int) -> Nearest:
        [vector] = self.encoder.encode_texts([words])
        with transaction(self.engine) as connection:
            return catalog.search.nearest(connection, self.space, vector, limit=limit, exact=True)

    def _by_label(self, label: TagFilter, /, *, limit: int) -> Nearest:
        found: Nearest = self._by_words(label.label, limit=limit)
        return found

    def decide(self, item: QueueItem, verdict: Verdict, label: str | None = None, **options: object) -> DecisionBatch:
        """As a person who saw the item."""
        return answered(self, item, verdict, label, **options)  # type: ignore[arg-type]

    def says(self, key: str, verdict: Verdict, label: str | None = None, chosen: Chosen = Chosen.DIRECT) -> None:
        """As a person who came by the image in another way."""
        request = DecisionRequest(ref=ref(key), taxonomy="colour", verdict=verdict, label=label, chosen=chosen)
        done = decide.decide(self.engine, [request], reviewer="eve")
        assert {"saved"} == {each.outcome for each in done.results}, done


def answered(
    gallery: Gallery, item: QueueItem, verdict: Verdict, label: str | None = None, *, reviewer: str = "ada"
) -> DecisionBatch:
    request = DecisionRequest(
        ref=item.ref, taxonomy="colour", verdict=verdict, label=label, seen=item.seen, chosen=item.chosen,
        inclusion_probability=item.inclusion_probability, plan=item.plan,
    )  # fmt: skip
    return decide.decide(gallery.engine, [request], reviewer=reviewer)


def picture(
    key: str, vector: Floats, tags: tuple[Tag, ...], *, salt: str = "", phash: int | None = None
) -> EnrichedImage:
    made = enriched_image(key, vector=vector)
    digest = hashlib.sha256(f"{key}{salt}".encode()).digest()
    own = int.from_bytes(digest[:8], "big", signed=True) if phash is None else phash
    return replace(made, tags=tags, metadata=replace(made.metadata, sha256=digest.hex(), phash=own))


def labels_of(items: list[QueueItem]) -> set[str]:
    return {each.label for each in items}
