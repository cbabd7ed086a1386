"""Lists of words: read, refused with file and line, and never decided by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.unit.tagging.fake_texts import FakeTexts, images
from worker.errors import TaxonomyError
from worker.tagging import (
    Label,
    Tagger,
    Taxonomy,
    advice,
    confusions,
    definition,
    label_rows,
    load_taxonomies,
    load_taxonomy,
    restore,
    texts_of_labels,
)
from worker.types import Floats


def _written(directory: Path, words: bytes, more: str = "") -> Path:
    (directory / "words.txt").write_bytes(words)
    file = directory / "things.yaml"
    file.write_text(f"name: things\nvocabulary: words.txt\n{more}", "utf-8")
    return file


def test_each_line_is_a_label(tmp_path: Path) -> None:
    """Comments and empty lines are none; spacing and a byte order mark are the editor's."""
    taxonomy = load_taxonomy(
        _written(tmp_path, "\ufeff# of a kitchen\n\negg  cup\r\nZürich, \u00e0 la carte=1\n".encode(), "title: All\n")
    )

    assert [("egg cup", ("egg cup",)), ("Zürich, à la carte=1", ("Zürich, à la carte=1",))] == [
        (label.name, label.prompts) for label in taxonomy.labels
    ]
    assert ("vocabulary", False, "All", False) == (taxonomy.mode, taxonomy.decides, taxonomy.title, taxonomy.many)


def test_templates_are_for_words_too(tmp_path: Path) -> None:
    """Of a model as well; they are part of the version, as the words are."""
    more = "templates: ['{}', 'a photo of {}']\nmodels: {some/model: {templates: ['my {}']}}\n"
    taxonomy = load_taxonomy(_written(tmp_path, b"cup\n", more))

    assert {"cup": ("a photo of cup", "cup")} == texts_of_labels(taxonomy, "any")
    assert {"cup": ("my cup",)} == texts_of_labels(taxonomy, "some/model")
    assert taxonomy.version != load_taxonomy(_written(tmp_path, b"cup\n")).version
    assert taxonomy.version != load_taxonomy(_written(tmp_path, b"cups\n", more)).version


def test_a_vocabulary_survives_the_catalog(tmp_path: Path) -> None:
    """As JSON and back."""
    taxonomy = load_taxonomy(_written(tmp_path, b"cup\nplate\n"))

    assert taxonomy == restore(definition(taxonomy), version=taxonomy.version)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (b"egg cup\n\nEgg-Cup\n", "words.txt:3: 'Egg-Cup' is the same as 'egg cup' on line 1"),
        (b"cup\n\xff\n", "words.txt:2: not UTF-8; save the file as UTF-8"),
        (b"# nothing\n", "words.txt:1: there are no words; write one per line"),
        (b"a\x07b\n", "words.txt:1: 'a\\x07b' has invisible characters"),
        (b"None of these\n", "words.txt:1: the name 'none of these' is taken"),
        (b"a" * 201, "words.txt:1: 'aaa"),
    ],
)
def test_mistakes_have_file_and_line(tmp_path: Path, words: bytes, message: str) -> None:
    """As those of taxonomies."""
    with pytest.raises(TaxonomyError) as refused:
        load_taxonomy(_written(tmp_path, words))

    assert f"{tmp_path}/{message}" in str(refused.value)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    """It is looked for beside the taxonomy."""
    file = tmp_path / "things.yaml"
    file.write_text("name: things\nvocabulary: none.txt\n", "utf-8")

    with pytest.raises(TaxonomyError, match=r"none\.txt: no such file"):
        load_taxonomy(file)


def test_more_texts_than_can_be_encoded_are_refused(tmp_path: Path) -> None:
    """Words times templates."""
    words = "".join(f"w{number}\n" for number in range(50_001)).encode()
    with pytest.raises(TaxonomyError, match=r"words\.txt:1: 100,002 texts \(words × templates\); at most 100,000"):
        load_taxonomy(_written(tmp_path, words, "templates: ['{}', 'a {}']\n"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("threshold: 0.3\n", "things.yaml:3: threshold: has no effect together with 'vocabulary'"),
        ("labels: {a: [b], c: [d]}\n", "things.yaml:3: labels: has no effect together with 'vocabulary'"),
        ("models: {starter: {margin: 0.1}}\n", "things.yaml:3: models.starter.margin: has no effect"),
        ("vocabulary2: x\n", "things.yaml:3: vocabulary2: unknown field; did you mean 'vocabulary'?"),
    ],
)
def test_what_decides_is_refused_beside_words(tmp_path: Path, more: str, message: str) -> None:
    """Nobody waits for tags that never come."""
    with pytest.raises(TaxonomyError) as refused:
        load_taxonomy(_written(tmp_path, b"cup\n", more))

    assert message in str(refused.value)


def test_nothing_can_depend_on_what_is_never_decided(tmp_path: Path) -> None:
    """With file and line, before anything runs."""
    (tmp_path / "size.yaml").write_text("name: size\nwhen: {things: cup}\nlabels: {a: [b], c: [d]}\n", "utf-8")
    _written(tmp_path, b"cup\n")
    with pytest.raises(TaxonomyError, match=r"size\.yaml:2: when\.things: 'things' is a vocabulary"):
        load_taxonomies([str(tmp_path)])


def test_images_are_not_tagged_by_words() -> None:
    """However many: no text of theirs is encoded for tagging, and tags are current without them."""
    words = Taxonomy(name="things", labels=(Label(name="cup", prompts=("cup",)),), mode="vocabulary")
    colour = Taxonomy(name="colour", labels=(Label(name="red", prompts=("red",)), Label(name="blue", prompts=("b",))))
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Floats:
        asked.extend(texts)
        return FakeTexts()(texts)

    tagger = Tagger((words, colour), encode, logit_scale=10.0, model="any")

    assert ["colour"] == [each.name for each in tagger.taxonomies]
    assert {"colour"} == {tag.taxonomy for tags in tagger.tag(images(3)) for tag in tags}
    assert "cup" not in asked
    assert tagger.is_current({("colour", colour.version, "red")})
    assert [] == advice(words, "any") == confusions(words, FakeTexts(), model="any")


def test_a_label_is_found_by_what_decides_about_it() -> None:
    """By the mean of its texts, or by each of them; labels without texts of their own have no rows."""
    labels = (Label(name="a", prompts=("x", "y")), Label(name="b", prompts=("z",)), Label(name="c", children=()))
    vectors = {"x": np.array([1, 0], np.float32), "y": np.array([0, 1], np.float32), "z": np.array([1, 0], np.float32)}

    def rows(**fields: str) -> list[tuple[str, str | None, bool, list[float]]]:
        taxonomy = Taxonomy(name="t", labels=labels, **fields)  # type: ignore[arg-type]
        texts = texts_of_labels(taxonomy, "any")
        return [
            (row.label, row.text, row.ranks, [round(float(number), 4) for number in row.vector])
            for row in label_rows(taxonomy, texts, vectors)
        ]

    assert [
        ("a", None, True, [0.7071, 0.7071]),
        ("a", "x", False, [1, 0]),
        ("a", "y", False, [0, 1]),
        ("b", "z", True, [1, 0]),
    ] == rows()
    assert [("a", "x", True, [1, 0]), ("a", "y", True, [0, 1]), ("b", "z", True, [1, 0])] == rows(aggregate="max")
