"""Vectors of texts, uploads, catalog images, given vectors and labels, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.examples import examples_of
from tests.factories import DIMENSION, enriched_image, spec
from tests.fakes import ColourEncoder
from tests.ledger import ref
from tests.models import tiny_clip
from tests.pictures import picture
from worker import catalog
from worker.bootstrap import reading
from worker.db import Engine, transaction
from worker.encoder import load_encoder
from worker.errors import ChoiceError, ImageRejectedError, NotFoundError, SpaceMismatchError, TextTooLongError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.reading.examples import ExampleVectors, Given, OfLabel, Stored, Uploaded, Words
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reading.text_search import NothingEmbeddedError, TextSearch
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.model_loading import ModelSetting, ensure_space, space_spec
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.settings import Settings
from worker.tagging import Label, Taxonomy
from worker.types import Floats, Reason

COLOUR = Taxonomy(name="colour", labels=tuple(Label(name=name, prompts=(name,)) for name in ("red", "green")))


@pytest.fixture
def examples(engine: Engine) -> ExampleVectors:
    """One image, red.jpg, and the labels of one taxonomy."""
    red = ColourEncoder().encode_texts(["red"])[0]
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(ColourEncoder()))
        catalog.write.save_images(connection, space_id=space.id, images=[enriched_image("red.jpg", vector=red)])
    keep(engine, [COLOUR])
    LabelVectorWriter(engine=engine, space=space, encode_texts=ColourEncoder().encode_texts).run()
    return examples_of(engine, TextSearch(engine, ColourEncoder))


def test_every_kind_gives_a_unit_vector_of_one_space(examples):
    """In the order given, whatever the mixture."""
    green = tuple(float(each) for each in 7 * ColourEncoder().encode_texts(["green"])[0])
    found = examples.embed(
        [
            Words(text="  red\n"),
            Uploaded(data=picture("#f00")),
            Stored(ref=ref("red.jpg")),
            Given(vector=green),
            OfLabel(taxonomy="colour", label="green"),
        ]
    )
    assert (5, DIMENSION) == found.vectors.shape
    assert np.allclose(1, np.linalg.norm(found.vectors, axis=1), atol=1e-6)
    assert [0, 0, 0, 1, 1] == found.vectors.argmax(axis=1).tolist()
    assert [None, (64, 48), None, None, None] == [each and (each.width, each.height) for each in found.pictures]


def test_nothing_has_no_vectors(examples):
    """A query may have no negative examples."""
    assert (0, DIMENSION) == examples.vectors(examples.space(), []).shape


@pytest.mark.parametrize(
    ("example", "error", "message"),
    [
        (Given(vector=(1.0, 2.0)), ChoiceError, "has 2 numbers, and those of space 1 .tiny. have 32"),
        (Given(vector=(float("nan"),) * 32), ChoiceError, "not finite"),
        (Given(vector=(1e300,) * 32), ChoiceError, "not finite"),
        (Given(vector=(0.0,) * 32), ChoiceError, "zero, so it has no direction"),
        (Words(text=" \n"), ChoiceError, "the text is empty"),
        (Words(text="red " * 10_000), TextTooLongError, "tiny reads 77"),
        (Stored(ref=ref("gone.jpg")), ImageNotFoundError, "nothing is known about it"),
        (OfLabel(taxonomy="colour", label="gren"), UnknownNameError, "did you mean 'green'"),
        (OfLabel(taxonomy="color", label="green"), UnknownNameError, "did you mean 'colour'"),
    ],
)  # fmt: skip
def test_an_example_that_cannot_be_used(examples, example, error, message):
    """Is refused with what to change."""
    with pytest.raises(error, match=message):
        examples.embed([example])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"hello", Reason.NOT_AN_IMAGE),
        (picture()[:200], Reason.TRUNCATED),
        (picture(size=(5_000, 10), kind="PNG"), Reason.SIDE_TOO_LONG),
        (picture(size=(3_000, 3_000), kind="PNG"), Reason.TOO_MANY_PIXELS),
        (picture() + bytes(1 << 20), Reason.TOO_MANY_BYTES),
    ],
)
def test_an_upload_that_cannot_be_decoded(examples, data, reason):
    """Is refused with the worker's reason, and named; the others are encoded where the caller wants each."""
    with pytest.raises(ImageRejectedError, match=r"^mine\.jpg: ") as refused:
        examples.embed([Words(text="red"), Uploaded(data=data, name="mine.jpg")])
    assert reason is refused.value.reason
    bad, good = examples.encode_files(examples.space(), [data, picture("#00f")])
    assert (reason, 2) == (bad.reason, int(good.vector.argmax()))


def test_a_vector_in_another_space_is_read_and_not_encoded(engine, examples):
    """An image's vector is there in any space; no model is loaded for spaces that this process does not serve."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec("other"))
        catalog.write.save_images(connection, space_id=other.id, images=[enriched_image("red.jpg")])
    space = examples.space(other.id)
    assert 1 == len(examples.vectors(space, [Stored(ref=ref("red.jpg"))]))
    for each in (Words(text="red"), Uploaded(data=picture())):
        with pytest.raises(ChoiceError, match=r"no model is loaded for space 2, which is filling: .* in space 1;"):
            examples.vectors(space, [each])
    with pytest.raises(NotFoundError, match="no space 9; the spaces are: 1, 2"):
        examples.space(9)


def test_an_image_without_a_vector_in_the_space(engine, examples):
    """Says in which space, and not that the image is unknown."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec("other"))
    with pytest.raises(NothingEmbeddedError, match=r"red\.jpg has no vector of other in space 2"):
        examples.vectors(examples.space(other.id), [Stored(ref=ref("red.jpg"))])


def test_an_empty_catalog_has_no_space(engine):
    """It says how to get one."""
    with pytest.raises(NothingEmbeddedError, match="start a worker"):
        examples_of(engine, TextSearch(engine, ColourEncoder)).embed([Words(text="red")])


class CountingEncoder(ColourEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        return super().encode_texts(texts)


def test_texts_are_encoded_once(engine, examples):
    """A text that was asked for before is not encoded again; a repeated one only once."""
    encoder = CountingEncoder()
    cached = examples_of(engine, TextSearch(engine, lambda: encoder))
    first = cached.embed([Words(text="red"), Words(text="blue"), Words(text="red")]).vectors
    again = cached.embed([Words(text="blue"), Words(text="red")]).vectors
    assert ["red", "blue"] == encoder.asked
    assert np.array_equal(first[[1, 0]], again)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def clip_examples(engine: Engine, clip: Path) -> ExampleVectors:
    settings = Settings(model=str(clip), device="cpu", dtype="float32")
    texts = load_encoder(str(clip), device="cpu", dtype="float32", text_only=True)
    return reading.examples(settings, engine, TextSearch(engine, lambda: texts, lambda _: texts))


def test_an_upload_has_the_vector_that_a_worker_gives_it(engine, clip):
    """With an image tower loaded beside the text tower, decoded and preprocessed in the same way."""
    whole = load_encoder(str(clip), device="cpu", dtype="float32", preprocessing="fast")
    space = ensure_space(engine, whole, ModelSetting(model=str(clip), revision=None))
    golden_check.require(engine, space, whole)
    data = picture("#c84", size=(900, 700))
    [found] = clip_examples(engine, clip).vectors(space, [Uploaded(data=data)])
    with_worker = examples_of(engine, TextSearch(engine, lambda: whole)).vectors(space, [Uploaded(data=data)])[0]
    assert np.allclose(with_worker, found, atol=1e-6)


def test_an_image_tower_that_makes_other_vectors_is_refused(engine, clip):
    """The golden check comes before the first upload is answered."""
    whole = load_encoder(str(clip), device="cpu", dtype="float32", preprocessing="fast")
    space = ensure_space(engine, whole, ModelSetting(model=str(clip), revision=None))
    golden_check.require(engine, space, whole)
    with transaction(engine) as connection:
        known = catalog.golden.load(connection, space.id)
        assert known is not None
        catalog.golden.delete(connection, space.id)
        turned = [each if each.pixels is None else _turned(each) for each in known.entries]
        catalog.golden.save(connection, space.id, turned, known.made_with)
    refusing = clip_examples(engine, clip)
    with pytest.raises(SpaceMismatchError, match="produces different vectors"):
        refusing.vectors(space, [Uploaded(data=picture())])
    assert 1 == len(refusing.refusals)
    assert 1 == len(refusing.vectors(space, [Words(text="a photo")]))


def _turned(item: catalog.golden.GoldenItem) -> catalog.golden.GoldenItem:
    return catalog.golden.GoldenItem(name=item.name, vector=np.roll(item.vector, 1), pixels=item.pixels)


def test_a_text_that_was_cut_is_not_kept(examples):
    """Taxonomies in force may have one; who asks for its vector is told that the model does not read it whole."""
    long, space = "red" + " red" * 80, examples.space()
    assert 1 == len(examples.encode_texts(space, [long]))
    with pytest.raises(TextTooLongError, match="tiny reads 77"):
        examples.embed([Words(text=long)])
