"""A process that writes and overwrites images without a pause, tagging as workers do: ``python -m … URL SEED``."""

from __future__ import annotations

import sys

import numpy as np

from tests.integration.pipeline.taxonomies.archive import COLOUR, Archive, image_of, vectors
from worker import catalog, db
from worker.db import transaction
from worker.errors import OutdatedTaxonomiesError

KEYS = 400
BATCH = 16


def main(url: str, seed: int) -> None:
    """Write until killed."""
    archive = Archive.of(db.connect(url, name="writer"), COLOUR)
    random = np.random.default_rng(seed)
    while True:
        keys = [f"00-{number:05}.jpg" for number in sorted(random.choice(KEYS, BATCH, replace=False))]
        made = vectors(BATCH, int(random.integers(1 << 30)))
        by = archive.labels.now
        while True:
            tags = by.tagger.tag(made)
            rows = [image_of(key, vector, its) for key, vector, its in zip(keys, made, tags, strict=True)]
            try:
                db.again(lambda rows=rows, by=by: write(archive, by.revision, rows))  # type: ignore[misc]
                break
            except OutdatedTaxonomiesError:
                by = archive.labels.follow()


def write(archive: Archive, revision: int, rows: list[catalog.write.EnrichedImage]) -> None:
    with transaction(archive.engine) as connection:
        catalog.taxonomy_revisions.hold(connection, revision)
        catalog.write.save_images(connection, space_id=archive.space.id, images=rows)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
