"""Which images people are asked about, on a real PostgreSQL."""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.pipeline.review.gallery import Gallery
from tests.integration.pipeline.taxonomies.archive import vectors
from tests.ledger import ref
from worker.catalog.decisions import Chosen, Verdict
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.review import candidates
from worker.pipeline.review.queues import Queue, QueuePage, QueueRequest


def page(gallery: Gallery, queue: Queue, label: str | None = "red", **options) -> QueuePage:
    return gallery.queues.page(QueueRequest(queue=queue, taxonomy="colour", label=label, limit=300, **options))


def keys(found: QueuePage) -> list[str]:
    return [each.ref.key for each in found.items]


def standing(gallery: Gallery, label: str) -> tuple[set[str], set[str]]:
    """Keys with the label, and those without any whose nearest it is, at .2 or more: straight from the tagger."""
    [decided] = gallery.labels.now.tagger.decide(np.stack(list(gallery.written.values())))
    names = np.array(list(gallery.written))
    own = decided.labels.index(label)
    near = (decided.label == -1) & (decided.nearest == own) & (decided.probability >= 0.2)
    return set(names[decided.label == own]), set(names[near])


def test_a_random_draw_has_all_that_have_or_nearly_have_the_label(gallery):
    """And no others; each says with what probability it was drawn."""
    found = page(gallery, Queue.RANDOM)
    given, near = standing(gallery, "red")
    assert 20 < len(near) < len(given)
    assert (given, near) == (
        {each.ref.key for each in found.items if each.given},
        {each.ref.key for each in found.items if not each.given},
    )
    assert {1.0} == {each.inclusion_probability for each in found.items}
    assert ({"red"}, {Chosen.RANDOM}) == ({e.label for e in found.items}, {e.chosen for e in found.items})
    assert (300, 300, True) == (found.examined, found.total, found.exact)


def test_a_random_draw_about_a_whole_taxonomy_is_one_from_all_images(gallery, monkeypatch):
    """Also from those where every label is improbable."""
    monkeypatch.setattr(candidates, "LEAST", 0.6)
    [decided] = gallery.labels.now.tagger.decide(np.stack(list(gallery.written.values())))
    assert ((decided.label == -1) & (decided.probability < candidates.LEAST)).any()
    assert set(gallery.written) == set(keys(page(gallery, Queue.RANDOM, None)))


def test_inclusion_probabilities_stand_for_all_images(gallery):
    """However few are drawn: their reciprocals add up to the number that they were drawn from."""
    given, near = standing(gallery, "red")
    drawn = gallery.queues.page(QueueRequest(queue=Queue.RANDOM, taxonomy="colour", label="red", limit=20)).items
    assert 20 == len(drawn)
    total = sum(1 / (each.inclusion_probability or 0) for each in drawn)
    assert pytest.approx(len(given) + len(near)) == total


def test_a_sample_of_a_large_catalog_stands_for_all(gallery, monkeypatch):
    """Where only some images are examined, and not all vectors are read."""
    gallery.add(2_000, seed=3)
    given, near = standing(gallery, "red")
    monkeypatch.setattr(candidates, "EXAMINED", 800)
    monkeypatch.setattr(candidates, "SCORED", 100)
    monkeypatch.setattr(candidates, "FEW", 100)
    for seed in range(3):
        found = page(gallery, Queue.RANDOM, seed=seed)
        assert (800, 2_300, False) == (found.examined, found.total, found.exact)
        total = sum(1 / (each.inclusion_probability or 0) for each in found.items)
        assert pytest.approx(len(given) + len(near), rel=0.25) == total
        assert set(keys(found)) <= given | near


def test_all_draws_are_different_and_fair(gallery):
    """Each image comes about equally often."""
    given, near = standing(gallery, "red")
    counts = dict.fromkeys(given | near, 0)
    for seed in range(60):
        for each in gallery.queues.page(
            QueueRequest(queue=Queue.RANDOM, taxonomy="colour", label="red", limit=30, seed=seed)
        ).items:
            counts[each.ref.key] += 1
    expected = 60 * 30 / len(counts)
    for kind in (given, near):
        assert pytest.approx(expected, rel=0.15) == np.mean([counts[key] for key in kind])
    assert max(counts.values()) < 4 * expected


def test_uncertain_ones_are_closest_to_the_threshold(gallery):
    """On either side."""
    found = page(gallery, Queue.UNCERTAIN).items
    distances = [abs((each.probability or 0) - 0.9) for each in found]
    assert sorted(distances) == distances
    assert {True, False} == {each.given for each in found[:40]}
    given, near = standing(gallery, "red")
    assert given | near == {each.ref.key for each in found}
    everything = page(gallery, Queue.UNCERTAIN, label=None).items
    assert {"red", "green", "blue"} == {each.label for each in everything}


def test_a_search_finds_what_words_describe(gallery):
    """The best first, with their similarity; people assign the label to them."""
    found = page(gallery, Queue.SEARCH, label="red", query="green").items
    assert ("green", "red") == (found[0].tags["colour"][0], found[0].label)
    assert found[0].why.startswith("similarity 0.")
    by_label = page(gallery, Queue.SEARCH, label="red").items
    assert ("red",) == by_label[0].tags["colour"]
    assert (True, True) == (by_label[0].given, (by_label[0].probability or 0) > 0.9)


@pytest.mark.parametrize("queue", [Queue.RANDOM, Queue.UNCERTAIN, Queue.SEARCH])
def test_what_is_decided_is_left_out(gallery, queue):
    """Whatever was decided; what people could not tell comes back when it is asked for."""
    every = [each.ref.key for each in page(gallery, queue).items if each.given]
    for key, (verdict, label) in zip(every, [
        (Verdict.ACCEPT, "red"), (Verdict.REJECT, "red"), (Verdict.REPLACE, "blue"), (Verdict.NONE, None),
        (Verdict.UNSURE, None), (Verdict.REJECT, "blue"),
    ], strict=False):  # fmt: skip
        gallery.says(key, verdict, label)
    left = set(keys(page(gallery, queue)))
    assert {every[5]} == left & set(every[:6])  # that it is not blue does not say whether it is red
    again = set(keys(page(gallery, queue, unsure=True)))
    assert {every[4], every[5]} == again & set(every[:6])


def test_an_undone_decision_is_asked_for_again(gallery):
    """As if it had not been made; so is one about earlier bytes."""
    first, second = keys(page(gallery, Queue.RANDOM))[:2]
    gallery.says(first, Verdict.UNSURE)
    gallery.says(second, Verdict.ACCEPT, "red")
    assert not {first, second} & set(keys(page(gallery, Queue.RANDOM)))
    gallery.sql(
        "INSERT INTO decisions (bucket, key, sha256, taxonomy, verdict, adds, removes, answers, undoes, reviewer) "
        "SELECT bucket, key, sha256, taxonomy, 'undo', '{}', '{}', false, id, 'eve' FROM decisions WHERE key = :key",
        key=first,
    )
    gallery.write({second: gallery.written[second]}, salt="other")
    assert {first, second} <= set(keys(page(gallery, Queue.RANDOM)))


def test_probable_errors_of_people_come_worst_first(gallery):
    """Only where the model says something else; once confirmed, never again."""
    given, _ = standing(gallery, "red")
    right, wrong, rejected, *_ = sorted(given)
    gallery.says(right, Verdict.ACCEPT, "red")
    gallery.says(wrong, Verdict.REPLACE, "blue")
    gallery.says(rejected, Verdict.REJECT, "red")
    found = page(gallery, Queue.LABEL_ERROR, label=None).items
    assert {(wrong, "blue"), (rejected, "red")} == {(each.ref.key, each.label) for each in found}
    [contradicted] = [each for each in found if each.ref.key == wrong]
    assert contradicted.why.startswith("a person said blue; the model says red (")
    gallery.decide(contradicted, Verdict.ACCEPT, "red")
    assert [rejected] == keys(page(gallery, Queue.LABEL_ERROR, label=None))


def test_two_spaces_disagree(gallery):
    """What only one of them says, from either; what both say alike is left out."""
    from tests.factories import spec
    from worker import catalog
    from worker.db import transaction

    with pytest.raises(ChoiceError, match="only one space"):
        page(gallery, Queue.DISAGREEMENT)
    with transaction(gallery.engine) as connection:
        other = catalog.spaces.ensure(connection, spec("other"))
    gallery.sql(
        "INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source) "
        "SELECT image_id, :other, taxonomy, taxonomy_version, CASE label WHEN 'red' THEN 'blue' ELSE label END, score, "
        "probability, source FROM tags WHERE image_id % 2 = 0",
        other=other.id,
    )
    found = page(gallery, Queue.DISAGREEMENT)
    given, _ = standing(gallery, "red")
    moved = {key for key in given if gallery.sql("SELECT id % 2 = 0 FROM images WHERE key = :key", key=key)[0][0]}
    assert moved == set(keys(found))
    assert "space 1 says red (" in found.items[0].why
    assert moved == set(keys(page(gallery, Queue.DISAGREEMENT, label="blue")))
    assert {False} == {each.given for each in page(gallery, Queue.DISAGREEMENT, label="blue").items}
    with pytest.raises(ChoiceError, match="there are 2"):
        page(gallery, Queue.DISAGREEMENT, other_space=7)


def test_what_was_seen_goes_back_with_the_decision(gallery):
    """A decision on what has changed meanwhile is a conflict."""
    item, other = page(gallery, Queue.RANDOM).items[:2]
    assert (ref(item.ref.key), 0, "red") == (item.ref, item.seen.decision, item.seen.label)
    [saved] = gallery.decide(item, Verdict.ACCEPT, "red").results
    assert "saved" == saved.outcome
    gallery.says(other.ref.key, Verdict.REPLACE, "blue")
    [late] = gallery.decide(other, Verdict.ACCEPT, "red").results
    assert ("conflict", ("blue",)) == (late.outcome, late.now.labels)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"taxonomy": "colours"}, UnknownNameError, "did you mean 'colour'"),
        ({"label": "redd"}, UnknownNameError, "did you mean 'red'"),
        ({"queue": Queue.SEARCH, "label": None}, ChoiceError, "name the label"),
        ({"limit": 301}, ChoiceError, "1 to 300"),
    ],
)
def test_what_is_unknown_is_refused(gallery, asked, error, says):
    """With the nearest valid choice."""
    with pytest.raises(error, match=says):
        gallery.queues.page(QueueRequest(**{"queue": Queue.RANDOM, "taxonomy": "colour", "label": "red"} | asked))


def test_vectors_of_tests_lean_to_colours():
    """Or the tests above would show nothing."""
    assert (5, 32) == vectors(5).shape
