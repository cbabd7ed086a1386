"""Two spaces side by side, before one decides."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.spaces.world import TurnedEncoder, World
from worker import catalog
from worker.catalog.space_comparison import HumanAgreement, LabelPair
from worker.db import transaction
from worker.pipeline.spaces import compare, lifecycle

TWELVE = {f"{number:02}.jpg": ("red", "green", "blue")[number % 3] for number in range(12)}


class Confused(TurnedEncoder):
    """Takes green for blue, and blue for green."""

    def _image_features(self, pixels):
        return super()._image_features([each[:, :, [0, 2, 1]] for each in pixels])


def compared(world: World, second, **options):
    first = lifecycle.get(world.engine, 1)
    return compare.compare(world.engine, first, second, **{"sample": 100, "queries": 10, "k": 3} | options)


def test_two_models_that_say_the_same(world: World):
    """Full agreement, beyond chance; the same neighbours, though no vector is alike."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new)
    found = compared(world, new)
    [colour] = found.taxonomies
    assert (12, 10, 12, 1.0, 1.0, (0, 0), ()) == (
        found.sampled, found.queries, colour.images, colour.agreement, colour.kappa, colour.abstained, colour.changes,
    )  # fmt: skip
    assert pytest.approx(1.0) == found.overlap


def test_what_would_change_is_named_with_an_example(world: World):
    """Most frequent first; agreement is counted with abstentions."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new, encoder=Confused("turned"))
    [colour] = compared(world, new).taxonomies
    assert (pytest.approx(1 / 3), pytest.approx(0.0)) == (colour.agreement, colour.kappa)
    assert [
        LabelPair(taxonomy="colour", a=("green",), b=("blue",), images=4, example="photos/01.jpg"),
        LabelPair(taxonomy="colour", a=("blue",), b=("green",), images=4, example="photos/02.jpg"),
    ] == list(colour.changes)


def test_both_are_measured_against_what_people_decided(world: World):
    """Wherever people have labelled, not only in the sample."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new, encoder=Confused("turned"))
    world.sql(
        "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
        "SELECT id, 'colour', 'v', 'green', 'human' FROM images WHERE key IN ('01.jpg', '02.jpg', '04.jpg')"
    )
    expected = HumanAgreement(taxonomy="colour", images=3, a_right=2, b_right=1, a_abstained=0, b_abstained=0)
    assert (expected,) == compared(world, new, sample=1).judged


def test_images_that_only_one_space_has_do_not_count(world: World):
    """Nothing is compared with nothing."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    world.enriched(b="green")
    found = compared(world, new)
    assert (1, 1) == (found.sampled, found.taxonomies[0].images)


def test_an_empty_space_compares_without_an_error(world: World):
    """There is nothing to say yet."""
    found = compared(world, world.space("turned"))
    assert (0, None, (), ()) == (found.sampled, found.overlap, found.taxonomies, found.judged)


def test_a_sample_is_the_same_every_time(world: World):
    """Two runs can be compared with each other."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new)
    with transaction(world.engine) as connection:
        once, again = (catalog.space_comparison.common_sample(connection, 1, new.id, limit=5) for _ in range(2))
    assert (5, once) == (len(once), again)


def test_of_a_large_catalog_some_pages_are_sampled(world: World):
    """The statistics say how large it is; nothing is sorted that need not be."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new)
    world.sql("UPDATE pg_class SET reltuples = 1e9 WHERE oid = 'images'::regclass")
    with transaction(world.engine) as connection:
        assert set(catalog.space_comparison.common_sample(connection, 1, new.id, limit=5)) <= set(range(1, 100))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({("a", "a"): 20, ("a", "b"): 5, ("b", "a"): 10, ("b", "b"): 15}, 0.4),  # Wikipedia's example
        ({("a", "a"): 10}, None),
        ({("a", "b"): 5, ("b", "a"): 5}, -1.0),
    ],
)
def test_kappa(counts, expected):
    """Agreement beyond chance, by Cohen's own formula."""
    pairs = [LabelPair(taxonomy="t", a=(a,), b=(b,), images=n, example="x") for (a, b), n in counts.items()]
    assert (expected if expected is None else pytest.approx(expected)) == compare.kappa(pairs)
