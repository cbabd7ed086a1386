"""Samples that stay nearly the same while the catalog grows."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.taxonomies.archive import COLOUR, Archive
from worker.catalog import stable_sample as module
from worker.catalog.stable_sample import stable_sample
from worker.db import transaction


@pytest.fixture(params=[16, 4_096], ids=["drawn", "ordered"])
def archive(engine, request, monkeypatch) -> Archive:
    """Three hundred images: enough to draw among where few are drawn at a time, else all are ordered by a hash."""
    monkeypatch.setattr(module, "_AT_ONCE", request.param)
    made = Archive.of(engine, COLOUR)
    made.add(300)
    return made


def drawn(archive: Archive, size: int, seed: int = 0) -> list[int]:
    with transaction(archive.engine) as connection:
        return stable_sample(connection, archive.space.id, size=size, seed=seed)


def everything(archive: Archive) -> list[int]:
    return [row[0] for row in archive.sql("SELECT image_id FROM embeddings ORDER BY image_id")]


@pytest.mark.parametrize(("gaps", "size"), [(1, 20), (1, 100), (1, 300), (1, 500), (7, 30), (7, 43), (290, 10)])
def test_a_sample_is_of_the_size_asked_for(archive, gaps, size):
    """Whatever gaps the numbers of images have; each image once, in order, and the same at every call."""
    archive.sql("DELETE FROM images WHERE id % :gaps <> 0", gaps=gaps)
    there, found = everything(archive), drawn(archive, size)
    assert min(size, len(there)) == len(found)
    assert sorted(set(found) & set(there)) == found
    assert found == drawn(archive, size)


def test_every_image_is_as_likely_as_any_other(archive):
    """Also the first, the last, and those behind gaps: 300 samples of 20 from 100."""
    archive.sql("DELETE FROM images WHERE id % 3 <> 0 OR id BETWEEN 100 AND 130")
    counts: dict[int, int] = {}
    for seed in range(300):
        for image in drawn(archive, 20, seed):
            counts[image] = counts.get(image, 0) + 1
    there = everything(archive)
    expected = 300 * 20 / len(there)
    assert sum((counts.get(image, 0) - expected) ** 2 / expected for image in there) < 2 * len(there)


def test_a_few_more_images_change_a_sample_a_little(archive):
    """A tenth more replaces about a tenth; removed images are replaced by others, and the rest stays."""
    before = drawn(archive, 100)
    archive.add(30, seed=1)
    grown = drawn(archive, 100)
    assert 75 <= len(set(before) & set(grown)) < 100
    gone = grown[::10]
    archive.sql("DELETE FROM images WHERE id = ANY(:gone)", gone=gone)
    assert set(grown) - set(gone) <= set(drawn(archive, 100))


def test_a_gap_of_billions_is_no_obstacle(archive):
    """As after a restore."""
    archive.sql("SELECT setval(pg_get_serial_sequence('images', 'id'), 5000000000)")
    archive.add(100, seed=1)
    assert 20 == len(drawn(archive, 20))
    assert everything(archive) == drawn(archive, 500)
