"""Vectors of labels on a real PostgreSQL: filled once, in pieces, and searched by an index."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from tests.factories import enriched_image, spec
from tests.fakes import ColourEncoder
from tests.ledger import ref
from tests.waiting import until
from worker import catalog
from worker.catalog.image_filter import TagFilter
from worker.catalog.label_vectors import nearest_labels_query
from worker.db import transaction
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reading.label_search import LabelNotFoundError, LabelSearch
from worker.pipeline.reading.text_search import NothingEmbeddedError
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies import lifecycle
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.pipeline.taxonomies.label_vectors import LabelVectorIndexer, LabelVectorWriter
from worker.tagging import Label, Taxonomy

COLOUR = Taxonomy(
    name="colour",
    labels=(
        Label(name="red", title="Red", description="As a rose.", aliases=("crimson",), prompts=("red", "a red thing")),
        Label(name="green", prompts=("green",)),
        Label(name="blue", prompts=("blue",)),
    ),
)
ANY = Taxonomy(
    name="any",
    aggregate="max",
    labels=(Label(name="warm", prompts=("red", "wool")), Label(name="cold", prompts=("blue",))),
)


def words(*names: str, **fields) -> Taxonomy:
    labels = tuple(Label(name=name, prompts=(name,)) for name in names)
    return Taxonomy(name="words", labels=labels, mode="vocabulary", **fields)


def use(engine, *taxonomies: Taxonomy) -> None:
    keep(engine, taxonomies)


class Texts:
    """Encodes, and notes what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, texts):
        self.batches.append(list(texts))
        return ColourEncoder().encode_texts(texts)

    @property
    def asked(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


@pytest.fixture
def space(engine):
    with transaction(engine) as connection:
        return catalog.spaces.ensure(connection, space_spec(ColourEncoder()))


@pytest.fixture
def gallery(engine, space):
    """A red picture, a green and a blue one."""
    vectors = ColourEncoder().encode_texts(["red", "green", "blue"])
    images = [
        enriched_image(f"{name}.jpg", vector=v) for name, v in zip(("red", "green", "blue"), vectors, strict=True)
    ]
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)
    return LabelSearch(engine=engine)


def fill(engine, space, *taxonomies: Taxonomy) -> Texts:
    use(engine, *taxonomies)
    texts = Texts()
    assert LabelVectorWriter(engine=engine, space=space, encode_texts=texts).run() is not None
    return texts


def near(search, key: str, **options) -> list[tuple[str, str]]:
    found = search.labels_of(ref(key), **{"limit": 3, **options})
    return [(each.taxonomy, each.label) for each in found.labels]


# -- finding ----------------------------------------------------------------------------------------------------------


def test_the_nearest_labels_are_of_all_taxonomies(engine, space, gallery):
    """Vocabularies among them, each label once, with its words for people."""
    fill(engine, space, COLOUR, ANY, words("a red rose", "a blue sky", "red ink"))
    found = gallery.labels_of(ref("red.jpg"), limit=4)
    assert found.space.id == space.id
    assert {
        ("colour", "red"), ("any", "warm"), ("words", "a red rose"), ("words", "red ink"),
    } == {(each.taxonomy, each.label) for each in found.labels}  # fmt: skip
    red = next(each for each in found.labels if each.label == "red")
    assert (red.title, red.description, red.text, red.version) == ("Red", "As a rose.", None, COLOUR.version)
    assert "red" == next(each.text for each in found.labels if each.label == "warm")
    assert "red ink" == next(each.title for each in found.labels if each.label == "red ink")
    similarities = [each.similarity for each in found.labels]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] == pytest.approx(1, abs=1e-3)


def test_only_some_taxonomies_can_be_asked(engine, space, gallery):
    """What is not stored is refused by name, with what is."""
    fill(engine, space, COLOUR, words("a red rose"))
    assert [("words", "a red rose")] == near(gallery, "red.jpg", taxonomies=["words"])
    with pytest.raises(UnknownNameError, match=r"there is no taxonomy 'things'"):
        near(gallery, "red.jpg", taxonomies=["words", "things"])


def test_labels_far_behind_those_of_others_are_found(engine, space):
    """The index gives up after so many; then the labels that are asked for are compared one by one."""
    fill(engine, space, COLOUR, words(*(f"red {number}" for number in range(500))))
    [red] = ColourEncoder().encode_texts(["red"])
    with transaction(engine) as connection:
        # So few are sorted, not looked up in the index, unless it is made to.
        connection.execute(text("SET LOCAL enable_sort = off"))
        connection.execute(text("SET LOCAL hnsw.max_scan_tuples = 1"))
        sets = [each for each in catalog.label_vectors.label_sets(connection, space.id) if each.taxonomy == "colour"]
        [row, *_] = connection.execute(
            text("EXPLAIN (FORMAT JSON) " + nearest_labels_query(space)),
            {"vector": str(red.tolist()), "sets": [sets[0].id], "limit": 6},
        ).scalar_one()
        found = catalog.label_vectors.nearest_labels(connection, space, red, sets=sets, limit=3)
    assert "label_vectors_1_hnsw" in str(row)
    assert ["blue", "green", "red"] == sorted(each.label for each in found)
    assert "red" == found[0].label


def test_a_taxonomy_of_a_newer_release_holds_up_no_other(engine, space, gallery):
    """What this release cannot read is left out, and searched by as it was before."""
    fill(engine, space, ANY)
    newer = replace(ANY, labels=(*ANY.labels, Label(name="hot", prompts=("fire",))))
    use(engine, newer)
    with transaction(engine) as connection:
        connection.execute(
            text("""UPDATE taxonomies SET first_used = now() + '1 s', definition = definition || '{"mode": "newest"}'
                    WHERE version = :version"""),
            {"version": newer.version},
        )
    fill(engine, space, COLOUR)
    assert ("colour", "red") in near(gallery, "red.jpg")
    assert ("any", "warm") in near(gallery, "red.jpg")


def test_a_label_that_many_texts_stand_for_takes_one_place(engine, space, gallery):
    """Where the nearest text decides, the others do not push labels out."""
    many = Label(name="reds", prompts=tuple(f"red {number}" for number in range(40)))
    fill(engine, space, replace(ANY, labels=(many, Label(name="cold", prompts=("blue",)))), COLOUR)
    found = near(gallery, "red.jpg", limit=5)
    assert {("any", "reds"), ("colour", "red")} == set(found[:2])
    assert len(found) == len(set(found)) == 5


def test_images_are_found_by_a_label(engine, space, gallery):
    """By its name, its title or an alias; without a model."""
    fill(engine, space, COLOUR, ANY)
    for word in ("red", "Red", "CRIMSON"):
        hits = gallery.images_of(TagFilter(taxonomy="colour", label=word), limit=3).hits
        assert "red.jpg" == hits[0].key
        assert 3 == len(hits)
    [nearest] = gallery.images_of(TagFilter(taxonomy="any", label="warm"), limit=1).hits
    assert "red.jpg" == nearest.key
    with pytest.raises(UnknownNameError, match=r"colour has no label 'rde'; did you mean 'red'"):
        gallery.images_of(TagFilter(taxonomy="colour", label="rde"), limit=1)


def test_images_of_a_label_can_be_filtered_by_tags(engine, space, gallery):
    """All of them must hold."""
    fill(engine, space, COLOUR)
    label = TagFilter(taxonomy="colour", label="red")
    assert 3 == len(gallery.images_of(label, limit=9, tags=[TagFilter(taxonomy="time-of-day", label="day")]).hits)
    with pytest.raises(UnknownNameError, match=r"time-of-day has no label 'night'"):
        gallery.images_of(label, limit=9, tags=[TagFilter(taxonomy="time-of-day", label="night")])


def test_what_cannot_be_answered_says_why(engine, space, gallery):
    """No labels, no such image, no vector, no images at all."""
    with pytest.raises(
        LabelNotFoundError, match=r"no labels of any taxonomy are stored in space 1; there are none yet"
    ):
        near(gallery, "red.jpg")
    with pytest.raises(ImageNotFoundError, match="nothing is known about it"):
        near(gallery, "none.jpg")
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM embeddings"))
    with pytest.raises(NothingEmbeddedError, match="has no vector of tiny"):
        near(gallery, "red.jpg")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE spaces SET state = 'retired'"))
    with pytest.raises(NothingEmbeddedError, match="no image was embedded yet"):
        gallery.images_of(TagFilter(taxonomy="colour", label="red"), limit=1)


# -- filling ----------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_not_encoded_again(engine, space):
    """Each text once; another run finds nothing to do."""
    assert ["a red thing", "blue", "green", "red"] == sorted(fill(engine, space, COLOUR).asked)
    assert [] == fill(engine, space, COLOUR).asked


def test_an_interrupted_filling_goes_on_where_it_was(engine, space, gallery):
    """After the last committed batch; what is incomplete is not searched."""
    use(engine, words(*(f"word {number}" for number in range(600))))
    first, second = Texts(), Texts()
    LabelVectorWriter(engine=engine, space=space, encode_texts=first).run(lambda: len(first.batches) == 1)
    [stored] = gallery.stored()
    assert (256, 600, False) == (stored.labels, stored.of, stored.ready)
    with pytest.raises(LabelNotFoundError, match="there are none yet"):
        near(gallery, "red.jpg")
    assert 344 == LabelVectorWriter(engine=engine, space=space, encode_texts=second).run()
    assert sorted(first.asked + second.asked) == sorted(f"word {number}" for number in range(600))
    [stored] = gallery.stored()
    assert (600, True) == (stored.labels, stored.ready)


def test_a_new_version_takes_the_place_of_the_old_when_it_is_complete(engine, space, gallery):
    """Until then the old one answers."""
    fill(engine, space, words("red", "blue"))
    use(engine, words("red ink", "blue", *(f"word {number}" for number in range(300))))
    seen: list[list[tuple[str, str]]] = []

    def encode(texts):
        seen.append(near(gallery, "red.jpg", limit=1))
        return ColourEncoder().encode_texts(texts)

    LabelVectorWriter(engine=engine, space=space, encode_texts=encode).run()
    assert seen == [[("words", "red")]] * 2
    assert [("words", "red ink")] == near(gallery, "red.jpg", limit=1)
    with transaction(engine) as connection:
        assert [302] == [each.labels for each in catalog.label_vectors.label_sets(connection, space.id)]
        assert 1 == connection.execute(text("SELECT count(DISTINCT set_id) FROM label_vectors")).scalar_one()


def test_what_is_forgotten_while_it_is_filled_is_left(engine, space, gallery):
    """The rest is stored all the same."""
    use(engine, COLOUR, words(*(f"word {number}" for number in range(600))))
    with transaction(engine) as connection:
        catalog.taxonomy_revisions.begin(connection, {"colour": COLOUR.version}, made_by="a@b")

    def encode(texts):
        if "word 0" in texts:
            lifecycle.drop(engine, "words")
        return ColourEncoder().encode_texts(texts)

    assert 3 == LabelVectorWriter(engine=engine, space=space, encode_texts=encode).run()
    assert [("colour", True)] == [(each.taxonomy, each.ready) for each in gallery.stored()]


def test_one_process_fills_at_a_time(engine, space):
    """Another one finds somebody at it, and leaves it to them."""
    use(engine, COLOUR)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(texts):
        begun.set()
        assert go_on.wait(20)
        return ColourEncoder().encode_texts(texts)

    thread = threading.Thread(target=LabelVectorWriter(engine=engine, space=space, encode_texts=slowly).run)
    thread.start()
    assert begun.wait(20)
    other = Texts()
    assert LabelVectorWriter(engine=engine, space=space, encode_texts=other).run() is None
    go_on.set()
    thread.join()
    assert [] == other.asked
    assert 0 == LabelVectorWriter(engine=engine, space=space, encode_texts=other).run()


def test_spaces_are_never_mixed(engine, space, gallery):
    """Each has its own vectors and its own index; those of a space that is dropped go with it."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec(model="other"))
    fill(engine, space, COLOUR)
    use(engine, COLOUR)
    LabelVectorWriter(
        engine=engine, space=other, encode_texts=lambda texts: -np.asarray(ColourEncoder().encode_texts(texts))
    ).run()
    assert [("colour", "red")] == near(gallery, "red.jpg", limit=1)
    with transaction(engine) as connection:
        indexes = connection.execute(
            text("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'label_vectors%hnsw' ORDER BY 1")
        ).scalars()
        assert list(indexes) == [f"label_vectors_{each.id}_hnsw" for each in (space, other)]
        assert catalog.spaces.mark_dropped(connection, other.id)
        left = connection.execute(text("SELECT DISTINCT space_id FROM label_vectors")).scalars()
        assert list(left) == [space.id]
    assert 0 == LabelVectorWriter(engine=engine, space=other, encode_texts=Texts()).run()


def test_a_keeper_stores_what_comes_into_use(engine, space, gallery):
    """While it runs, and in spite of failures."""
    use(engine, COLOUR)
    failures = iter([RuntimeError("out of luck")])
    texts = Texts()

    def encode(some):
        for failure in failures:
            raise failure
        return texts(some)

    heartbeat = LabelVectorIndexer(interval=0.05)
    heartbeat.start()
    heartbeat.add(LabelVectorWriter(engine=engine, space=space, encode_texts=encode))
    try:
        until(lambda: [each.ready for each in gallery.stored()] == [True])
        use(engine, words("red ink"))
        until(lambda: [each.ready for each in gallery.stored()] == [True, True])
        heartbeat.remove(space)
        use(engine, replace(ANY, name="later"))
    finally:
        heartbeat.stop()
    assert ["a red thing", "blue", "green", "red", "red ink"] == sorted(texts.asked)


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_ten_thousand_labels_cost_a_search_of_the_index(engine, space, gallery):
    """PostgreSQL reads a few hundred rows of the index, not the table; and finds what a comparison with all finds."""
    random = np.random.default_rng(1)
    vectors = random.standard_normal((10_000, space.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = {f"word {number}": number for number in range(10_000)}
    use(engine, words(*places))
    LabelVectorWriter(
        engine=engine, space=space, encode_texts=lambda texts: vectors[[places[each] for each in texts]]
    ).run()
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE label_vectors"))
        [labels] = catalog.label_vectors.label_sets(connection, space.id)
        plan = connection.execute(
            text("EXPLAIN (ANALYZE, FORMAT TEXT) " + nearest_labels_query(space)),
            {"vector": str(vectors[7].tolist()), "sets": [labels.id], "limit": 20},
        ).scalars()
        lines = "\n".join(plan)
        assert f"Index Scan using label_vectors_{space.id}_hnsw" in lines
        assert "Seq Scan" not in lines
        found = [
            [
                each.label
                for each in catalog.label_vectors.nearest_labels(connection, space, vector, sets=[labels], limit=10)
            ]
            for vector in vectors[:20]
        ]
    exact = [[f"word {place}" for place in np.argsort(-(vectors @ vector))[:10]] for vector in vectors[:20]]
    assert np.mean([len(set(ours) & set(true)) / 10 for ours, true in zip(found, exact, strict=True)]) >= 0.9
