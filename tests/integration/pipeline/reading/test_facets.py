"""Facets, samples and near-duplicates: counts over exactly the images that match, estimates that say so."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import text

from tests.factories import DIMENSION, enriched_image, spec
from worker import catalog
from worker.catalog import matched
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.db import Engine, snapshot, transaction
from worker.errors import ChoiceError, CursorError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.reading import label_counts
from worker.pipeline.reading.duplicates import DuplicatePage, duplicates
from worker.pipeline.reading.facets import facets
from worker.pipeline.reading.sample import sample

LABELS = ("day", "day", "night", None)
DAY, NIGHT = (TagFilter(taxonomy="time-of-day", label=label) for label in ("day", "night"))
#: Signed 64-bit hashes: the second differs from the first in 3 bits, the third from the second in 4, from the first
#: in 7; the fourth is far from all.
HASHES = (0x0F0F_1234_5678_9ABC, 0x0F0F_1234_5678_9ABB, 0x0F0F_1234_5688_9ABB, -0x0F0F_1234_5678_9ABC)


def hang(engine: Engine, count: int, **more: object) -> None:
    """Images whose properties take turns."""
    random = np.random.default_rng(0)
    made = []
    for n in range(count):
        image = enriched_image(f"{n:05}.jpg", label=LABELS[n % 4], vector=np.eye(DIMENSION, dtype=np.float32)[n % 9])
        metadata = replace(
            image.metadata, taken_at=datetime(2020 + n % 3, 1 + n % 12, 5) if n % 5 else None,  # noqa: DTZ001
            camera_model=("One", "Two")[n % 2], format=("JPEG", "PNG", "WEBP")[n % 3], width=1000,
            height=500 + n % 2 * 3000, sha256=f"{n:064x}", phash=int(random.integers(-(1 << 63), 1 << 63)),
        )  # fmt: skip
        tags = tuple(replace(tag, probability=(n % 10) / 10 + 0.05) for tag in image.tags)
        made.append(replace(image, metadata=metadata, tags=tags, info=replace(image.info, size=50_000 + n % 2 * 10**6)))
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        catalog.write.save_images(connection, space_id=space.id, images=made)


def analyse(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def counts(found, taxonomy: str = "time-of-day") -> dict[str, int]:
    [own] = [each for each in found.taxonomies if each.taxonomy == taxonomy]
    return {each.label: each.count.about for each in own.labels} | {"–": own.undecided.about}


def test_counts_are_over_the_images_that_match(engine):
    """Each of them, with the denominator."""
    hang(engine, 120)
    found = facets(engine, ImageFilter(format="JPEG"))
    numbers = [n for n in range(120) if n % 3 == 0]
    assert (40, True, 40) == (found.of.images, found.of.exact, found.of.examined)
    assert Counter(LABELS[n % 4] or "–" for n in numbers) == counts(found)
    assert "month" == found.unit
    assert Counter(f"{2020 + n % 3}-{1 + n % 12:02}" if n % 5 else "–" for n in numbers) == {
        "–" if each.start is None else f"{each.start:%Y-%m}": each.count.about for each in found.taken
    }
    assert {"ACME One": 20, "ACME Two": 20} == {each.name: each.count.about for each in found.cameras}
    assert {"JPEG": 40} == {each.name: each.count.about for each in found.formats}
    assert [(0, 100_000, 20), (1_000_000, 3_000_000, 20)] == [
        (each.least, each.below, each.count.about) for each in found.bytes if each.count.about
    ]
    assert {500_000: 20, 3_500_000: 20} == {
        size: next(c.count.about for c in found.pixels if c.least <= size < (c.below or size + 1))
        for size in (500_000, 3_500_000)
    }


def test_probabilities_are_counted_by_tenths(engine):
    """A histogram of each label."""
    hang(engine, 120)
    [own] = facets(engine, ImageFilter()).taxonomies
    [night] = [each for each in own.labels if each.label == "night"]
    expected = Counter(n % 10 for n in range(120) if n % 4 == 2)
    assert [expected[part] for part in range(10)] == [each.about for each in night.probabilities]


def test_without_a_filter_they_are_the_label_counts(engine):
    """Two ways to the same numbers, undecided images included, also where people rejected what the model says."""
    hang(engine, 40)
    with transaction(engine) as connection:
        connection.execute(text(
            "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
            "SELECT id, 'time-of-day', 'v', 'night', CASE WHEN key < '00010' THEN 'rejected' ELSE 'human' END "
            "FROM images WHERE key IN ('00002.jpg', '00006.jpg', '00012.jpg', '00015.jpg')"
        ))  # fmt: skip
    [expected] = label_counts.count(engine, label_counts.CountScope(), limit=10).taxonomies
    found = counts(facets(engine, ImageFilter()))
    assert {each.label: each.images for each in expected.labels} | {"–": expected.undecided} == found
    assert {"day": 19, "night": 10, "–": 11} == found


def test_other_labels_of_a_filtered_taxonomy_stay_visible(engine):
    """Whoever looks at nights can see how many days there are instead."""
    hang(engine, 120)
    found = facets(engine, ImageFilter(format="JPEG", tags=(NIGHT,)))
    [own] = found.taxonomies
    assert (10, True, 40) == (found.of.images, own.without_own, own.of.images)
    assert {"day": 20, "night": 10, "–": 10} == counts(found)


def test_of_many_images_a_sample_is_examined(engine, monkeypatch):
    """Every estimate has an interval, which the true number is in; the same question gets the same answer."""
    for name, value in {"MOST": 500, "SAMPLED": 400, "_CHECKED": 900, "_LEAST": 50, "_SMALL": 600}.items():
        monkeypatch.setattr(matched, name, value)
    hang(engine, 3_000)
    analyse(engine)
    wanted = ImageFilter(format="JPEG")
    found = facets(engine, wanted)
    assert (False, 400 >= found.of.examined > 200) == (found.of.exact, True)
    assert abs(found.of.images - 1_000) < 150
    [own] = found.taxonomies
    truth = {"day": 500, "night": 250}
    for each in own.labels:
        share = truth[each.label] / 1_000 * found.of.images
        assert each.count.low <= share <= each.count.high
        assert each.count.low < each.count.about < each.count.high
    assert found == facets(engine, wanted)
    assert found != facets(engine, wanted, seed=1)


def test_intervals_hold_where_the_total_is_an_estimate_too(engine, monkeypatch):
    """Also for a label that nearly all of the images have: the number of these is not known either."""
    for name, value in {"MOST": 500, "SAMPLED": 400, "_CHECKED": 900, "_LEAST": 50, "_SMALL": 600}.items():
        monkeypatch.setattr(matched, name, value)
    hang(engine, 3_000)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE tags SET label = 'day'"))
    analyse(engine)
    held = 0
    for seed in range(40):
        found = facets(engine, ImageFilter(format="JPEG"), seed=seed)
        [day] = found.taxonomies[0].labels
        held += day.count.low <= 1_000 <= day.count.high and found.of.low <= 1_000 <= found.of.high
    assert 34 <= held


def test_what_is_rare_among_many_is_counted(engine, monkeypatch):
    """A sample would have too few of it."""
    for name, value in {"MOST": 500, "SAMPLED": 400, "_CHECKED": 900, "_LEAST": 500, "_SMALL": 600}.items():
        monkeypatch.setattr(matched, name, value)
    hang(engine, 3_000)
    analyse(engine)
    found = facets(engine, ImageFilter(format="PNG", min_bytes=100_000, tags=(DAY,)))
    numbers = [n for n in range(3_000) if n % 3 == 1 and n % 2 and LABELS[n % 4] == "day"]
    assert (len(numbers), True) == (found.of.images, found.of.exact)


def test_a_sample_of_matching_images_is_uniform(engine, monkeypatch):
    """Images that were stored together are not taken together."""
    for name, value in {"MOST": 100, "SAMPLED": 100, "_CHECKED": 600, "_LEAST": 10, "_SMALL": 0}.items():
        monkeypatch.setattr(matched, name, value)
    hang(engine, 1_000)
    analyse(engine)
    taken: Counter[int] = Counter()
    with snapshot(engine) as connection:
        for seed in range(60):
            taken.update(matched.matched(connection, ImageFilter(), seed=seed).images)
    assert 6_000 == sum(taken.values())
    assert 900 < len(taken)
    first = sum(count for image, count in taken.items() if image <= 500)
    assert 2_700 < first < 3_300


def test_objects_in_quarantine_are_counted_where_they_can_match(engine):
    """They have a name and no tags."""
    hang(engine, 4)
    assert {} == facets(engine, ImageFilter(bucket="photos")).quarantined
    assert facets(engine, ImageFilter(format="JPEG")).quarantined is None


def test_an_empty_catalog_has_empty_facets(engine):
    """Not an error."""
    found = facets(engine, ImageFilter())
    assert (0, True, ()) == (found.of.images, found.of.exact, found.taxonomies)


def test_samples_are_drawn_of_each_label(engine):
    """Most frequent first, undecided ones last; another seed draws others."""
    hang(engine, 120)
    found = sample(engine, ImageFilter(format="JPEG"), taxonomy="time-of-day", per_label=3)
    assert [("day", 3, 20), ("night", 3, 10), (None, 3, 10)] == [
        (each.label, len(each.images), each.total) for each in found.labels
    ]
    for each in found.labels:
        assert {each.label} == {LABELS[int(image.key[:5]) % 4] for image in each.images}
        assert {0} == {int(image.key[:5]) % 3 for image in each.images}
    assert found == sample(engine, ImageFilter(format="JPEG"), taxonomy="time-of-day", per_label=3)
    other = sample(engine, ImageFilter(format="JPEG"), taxonomy="time-of-day", per_label=3, seed=1)
    assert [each.images for each in found.labels] != [each.images for each in other.labels]


def test_every_image_of_a_label_is_as_likely_to_be_drawn(engine):
    """Over many seeds."""
    hang(engine, 40)
    drawn: Counter[str] = Counter()
    for seed in range(100):
        [night] = sample(engine, ImageFilter(), taxonomy="time-of-day", labels=["night"], per_label=2, seed=seed).labels
        drawn.update(image.key for image in night.images)
    assert 10 == len(drawn)
    assert 8 <= min(drawn.values()) <= max(drawn.values()) <= 34


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"taxonomy": "time-of-dai"}, UnknownNameError, "did you mean 'time-of-day'?"),
        ({"taxonomy": "time-of-day", "labels": ["nigth"]}, UnknownNameError, "did you mean 'night'?"),
        ({"taxonomy": "time-of-day", "per_label": 0}, ChoiceError, "1 to 100 images"),
    ],
)
def test_samples_of_what_is_unknown_are_refused(engine, asked, error, told):
    """With the nearest name."""
    hang(engine, 8)
    with pytest.raises(error) as refused:
        sample(engine, ImageFilter(), **asked)
    assert told in str(refused.value)


def copies(engine: Engine, *hashes: tuple[int, str]) -> None:
    """Images with these hashes, and hashes of bytes."""
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        made = [enriched_image(f"{n}.jpg") for n in range(len(hashes))]
        made = [
            replace(image, metadata=replace(image.metadata, phash=phash, sha256=sha256))
            for image, (phash, sha256) in zip(made, hashes, strict=True)
        ]
        catalog.write.save_images(connection, space_id=space.id, images=made)


def names(page: DuplicatePage) -> list[list[str]]:
    return [[each.image.key for each in group.images] for group in page.groups]


A, B = "aa" * 32, "bb" * 32


def test_near_duplicates_are_grouped(engine):
    """By their bytes and by their hashes: a chain is one group."""
    copies(engine, (HASHES[0], A), (HASHES[3], "cc" * 32), (HASHES[1], B), (HASHES[2], "dd" * 32), (HASHES[0], A))
    page = duplicates(engine, ImageFilter())
    assert [["0.jpg", "2.jpg", "3.jpg", "4.jpg"]] == names(page)
    [group] = page.groups
    assert (4, True, None, 5) == (group.total, group.complete, page.next, page.examined)
    assert [(True, 0), (False, 3), (False, 7), (True, 0)] == [(each.same_bytes, each.bits) for each in group.images]
    assert [["0.jpg", "2.jpg", "4.jpg"]] == names(duplicates(engine, ImageFilter(), bits=3))
    assert [["0.jpg", "4.jpg"]] == names(duplicates(engine, ImageFilter(), bits=0))


def test_groups_are_those_of_all_pairs(engine):
    """For random hashes around a few: as if every pair were compared."""
    random = np.random.default_rng(5)
    centres = random.integers(-(1 << 63), 1 << 63, 12)
    hashes = []
    for n in range(150):
        flips = random.choice(64, int(random.integers(0, 4)), replace=False)
        value = int(centres[n % 12]) & 0xFFFFFFFFFFFFFFFF
        for bit in flips:
            value ^= 1 << int(bit)
        hashes.append(value - (1 << 64) if value >= 1 << 63 else value)
    copies(engine, *((each, f"{n:064x}") for n, each in enumerate(hashes)))
    for bits in (0, 2, 4, 7):
        found: list[list[str]] = []
        after = None
        while True:
            page = duplicates(engine, ImageFilter(), bits=bits, limit=3, per_group=100, after=after)
            found += names(page)
            after = page.next
            if after is None:
                break
        assert components(hashes, bits) == [sorted(int(key[:-4]) for key in group) for group in found]


def components(hashes: list[int], bits: int) -> list[list[int]]:
    """Groups of two or more, by the smallest number."""
    group = list(range(len(hashes)))
    for one, first in enumerate(hashes):
        for other in range(one):
            if ((first ^ hashes[other]) & 0xFFFFFFFFFFFFFFFF).bit_count() <= bits and group[one] != group[other]:
                old, new = max(group[one], group[other]), min(group[one], group[other])
                group = [new if each == old else each for each in group]
    found: dict[int, list[int]] = {}
    for number, own in enumerate(group):
        found.setdefault(own, []).append(number)
    return [each for each in found.values() if len(each) > 1]


def test_only_images_that_match_are_grouped(engine):
    """The others are in no group, and join none."""
    copies(engine, (HASHES[0], A), (HASHES[1], B), (HASHES[2], "dd" * 32))
    with transaction(engine) as connection:
        connection.execute(text("UPDATE images SET format = 'PNG' WHERE key = '1.jpg'"))
    assert [] == names(duplicates(engine, ImageFilter(format="JPEG"), bits=4))
    assert [["0.jpg", "2.jpg"]] == names(duplicates(engine, ImageFilter(format="JPEG"), bits=7))


def test_a_large_group_is_shown_in_part(engine):
    """With its size."""
    copies(engine, *((HASHES[0], A) for _ in range(30)))
    [group] = duplicates(engine, ImageFilter(), per_group=5).groups
    assert (5, 30, True) == (len(group.images), group.total, group.complete)


def test_plain_pictures_are_near_duplicates_only_by_their_bytes(engine):
    """Red, blue and white pictures have the same perceptual hash."""
    flat = -(1 << 63)
    copies(engine, (flat, A), (flat, B), (flat, "cc" * 32), (flat, B), (HASHES[0], A.replace("a", "d")))
    page = duplicates(engine, ImageFilter(), bits=7)
    assert [["1.jpg", "3.jpg"]] == names(page)
    assert (2, True) == (page.groups[0].total, page.groups[0].images[1].same_bytes)


def test_a_group_without_end_comes_in_parts(engine, monkeypatch):
    """Each says that it is not all, and none comes twice on a page."""
    monkeypatch.setattr("worker.pipeline.reading.duplicates._MOST_HASHES", 3)
    chain = [HASHES[0] ^ ((1 << n) - 1) << 8 for n in range(12)]
    copies(engine, *((each, f"{n:064x}") for n, each in enumerate(chain)))
    page = duplicates(engine, ImageFilter(), bits=1, per_group=100)
    assert {False} == {group.complete for group in page.groups}
    assert len(page.groups) == len({group.images[0].image.key for group in page.groups})


def test_what_cannot_be_looked_for_is_refused(engine):
    """So is a cursor of another list."""
    with pytest.raises(ChoiceError, match="0 to 7 bits, not 8"):
        duplicates(engine, ImageFilter(), bits=8)
    with pytest.raises(CursorError):
        duplicates(engine, ImageFilter(), after="nonsense")
    copies(engine, (HASHES[0], A), (HASHES[0], A), (HASHES[2], B), (HASHES[2], B))
    first = duplicates(engine, ImageFilter(), limit=1)
    assert first.next is not None
    with pytest.raises(CursorError, match="another filter or bits"):
        duplicates(engine, ImageFilter(), bits=0, after=first.next)


def test_near_duplicates_are_found_by_indexes(engine):
    """Not by comparing all images."""
    hang(engine, 3_000)
    catalog.indexes.build(engine)
    analyse(engine)
    with snapshot(engine) as connection:
        [number] = connection.execute(text("SELECT phash FROM images LIMIT 1")).scalars()
        explained: list[str] = []

        def note(query, *arguments):
            plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {query.text}"), *arguments).scalar_one()
            explained.append(json.dumps(plan))
            return connection.execute(query, *arguments)

        class Noting:
            execute = staticmethod(note)

        catalog.duplicates.near(Noting, catalog.filter_conditions.conditions(ImageFilter()), [number], bits=4)  # type: ignore[arg-type]
    assert "Seq Scan" not in explained[0]
    assert "images_phash_3" in explained[0]
