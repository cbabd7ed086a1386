"""All taxonomies at once must say what each says by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.unit.tagging.fake_texts import DIMENSION, FakeTexts, images, vector
from worker.errors import SpaceMismatchError
from worker.tagging import Aggregate, Tagger, Taxonomy, build_label_matrix, load_taxonomies, score
from worker.types import Floats

SHIPPED = load_taxonomies()
#: Those with one label at most for an image, which ``score`` judges one at a time.
EXCLUSIVE = tuple(taxonomy for taxonomy in SHIPPED if not taxonomy.many)


def _tagger(taxonomies: tuple[Taxonomy, ...] = SHIPPED) -> Tagger:
    return Tagger(taxonomies, FakeTexts(), logit_scale=30.0, model="starter")


def _near_first_labels(count: int) -> Floats:
    """Images at the label vectors themselves, in turn, so that tags of every kind occur."""
    rows = np.concatenate([build_label_matrix(taxonomy, FakeTexts()).rows for taxonomy in EXCLUSIVE])
    return rows[np.arange(count) % len(rows)]


def test_each_image_gets_one_tag_per_taxonomy_in_order() -> None:
    """None of these is a tag, too, with the version that decided it."""
    tags = _tagger(EXCLUSIVE).tag(images(3))
    expected = [(taxonomy.name, taxonomy.version, "zero-shot") for taxonomy in EXCLUSIVE]

    assert [[(tag.taxonomy, tag.version, tag.source) for tag in each] for each in tags] == [expected] * 3


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_together_is_the_same_as_one_by_one(aggregate: Aggregate) -> None:
    """The shared product changes no decision; labels and none of these both occur."""
    taxonomies = tuple(replace(taxonomy, aggregate=aggregate) for taxonomy in EXCLUSIVE)
    vectors = _near_first_labels(120)
    together = _tagger(taxonomies).tag(vectors)
    alone = [
        score(vectors, build_label_matrix(taxonomy, FakeTexts()), logit_scale=30.0, model="starter")
        for taxonomy in taxonomies
    ]
    expected = [tuple(tag.label for tag in tags) for tags in zip(*alone, strict=True)]

    assert expected == [tuple(tag.label for tag in tags) for tags in together]
    assert {None} < {label for labels in expected for label in labels}


def test_a_label_s_own_vector_gets_that_label() -> None:
    """With prompts as images, each shipped taxonomy without levels recognises all of its labels."""
    for taxonomy in EXCLUSIVE:
        matrix = build_label_matrix(taxonomy, FakeTexts())
        tags = score(matrix.rows[: len(matrix.labels)], matrix, logit_scale=100.0, model="any")

        assert [tag.label for tag in tags] == list(matrix.labels)


def test_pictures_between_dawn_and_dusk_get_neither() -> None:
    """The shipped margin is wide enough that a model that hardly tells them apart does not guess."""
    (taxonomy,) = load_taxonomies(["time-of-day"])
    matrix = build_label_matrix(taxonomy, FakeTexts())
    dawn, dusk = (matrix.rows[matrix.labels.index(label)] for label in ("dawn", "dusk"))
    between = 0.501 * dawn + 0.499 * dusk
    (tag,) = score((between / np.linalg.norm(between))[np.newaxis], matrix, logit_scale=100.0, model="any")

    assert tag.label is None
    assert tag.score > 0.5


def test_decisions_are_the_same_as_arrays() -> None:
    """Bulk callers read arrays; the tags are made from them."""
    vectors = _near_first_labels(50)
    decisions = _tagger().decide(vectors)

    assert [each.taxonomy.name for each in decisions] == [taxonomy.name for taxonomy in SHIPPED]
    together = zip(*(each.tags(50) for each in decisions), strict=True)

    assert [sum(each, ()) for each in together] == _tagger().tag(vectors)


def test_the_text_encoder_is_called_once_and_not_by_tagging() -> None:
    """Prompts are encoded when the tagger is built; images cost one product."""
    texts = FakeTexts()
    tagger = Tagger(SHIPPED, texts, logit_scale=100.0, model="any")
    tagger.tag(images(2))
    tagger.tag(images(2))

    assert 1 == len(texts.calls)


def test_no_images_have_no_tags() -> None:
    """An empty batch is an empty answer."""
    assert [] == _tagger().tag(np.empty((0, DIMENSION), dtype=np.float32))


def test_no_taxonomies_give_each_image_no_tags() -> None:
    """Embedding without tagging is a use, too."""
    assert [(), ()] == _tagger(()).tag(images(2))
    assert () == _tagger(()).decide(images(2))


def test_vectors_of_another_model_are_refused() -> None:
    """Before anything is written."""
    with pytest.raises(SpaceMismatchError, match="of dimension 7"):
        _tagger().tag(images(2, dimension=7))


def test_tagging_is_not_what_an_archive_waits_for() -> None:
    """All that ship, 512 dimensions: 190,000 images per second of one core were measured; 20,000 always hold."""
    tagger = Tagger(SHIPPED, partial(_encode, dimension=512), logit_scale=100.0, model="any")
    vectors = images(20_000, dimension=512)
    started = time.process_time()  # CPU time: other processes on the machine do not count
    tagger.decide(vectors)

    assert len(vectors) / (time.process_time() - started) > 20_000


def _encode(texts: Sequence[str], dimension: int) -> Floats:
    return np.stack([vector(text, dimension) for text in texts])
