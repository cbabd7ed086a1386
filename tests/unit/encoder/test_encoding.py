"""Properties of vectors that hold for every model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tests.models import CONTEXT
from tests.unit.encoder.fake_encoder import FakeEncoder, pixels
from worker.encoder import Encoder, load_encoder, unit_rows
from worker.errors import ModelUnsupportedError


@pytest.fixture
def pictures() -> list[Image.Image]:
    random = np.random.default_rng(3)
    sizes = [(90, 70), (64, 64), (33, 200), (500, 40)] * 5
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def test_vectors_are_unit_length(clip, pictures):
    """float32 rows of length one, for pictures and for texts."""
    images = clip.encode_images([clip.preprocess(p) for p in pictures])
    texts = clip.encode_texts(["a photo of a dog", "", "Nacht über der Stadt 🌃", "word " * 500])
    assert (images.dtype, images.shape, texts.shape) == (np.float32, (20, 32), (4, 32))
    assert np.allclose(np.linalg.norm(np.concatenate([images, texts]), axis=1), 1, atol=1e-6)


def test_nothing_gives_an_empty_array(clip):
    """Empty lists are fine and keep the dimension."""
    assert clip.encode_images([]).shape == clip.encode_texts([]).shape == (0, 32)


@pytest.mark.slow
def test_company_does_not_change_a_vector(clip, clip_dir, pictures):
    """Alone, in batches of three or in one batch: the same vector."""
    small = load_encoder(str(clip_dir), device="cpu", dtype="float32", batch=3)
    prepared = [clip.preprocess(p) for p in pictures]
    together = clip.encode_images(prepared)
    alone = np.concatenate([clip.encode_images([p]) for p in prepared])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together - small.encode_images(prepared)).max() < 1e-5


def test_padding_does_not_change_a_text(clip):
    """A short text next to a long one gets the vector it gets alone."""
    texts = ["dog", "a photograph of a dark street at night with a bright house"]
    together = clip.encode_texts(texts)
    alone = np.concatenate([clip.encode_texts([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_texts_are_cut_at_the_context_length(clip, capsys):
    """What lies beyond the model's context changes nothing, and is no error; a warning says how long the text is."""
    start = "day night " * 40
    assert np.array_equal(clip.encode_texts([start + "dog"]), clip.encode_texts([start + "cat"]))
    assert f"has 83 tokens, and {clip.space.model} reads {CONTEXT}" in "".join(capsys.readouterr())


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_longest_text_that_is_read(family, request, capsys):
    """One token more is one too many, with those that the model adds itself."""
    encoder = load_encoder(str(request.getfixturevalue(f"{family}_dir")), device="cpu", dtype="float32")
    texts = [("day " * words).strip() for words in range(1, 2 * CONTEXT)]
    longest = max(set(texts) - encoder.cut(texts).keys(), key=len)
    assert encoder.cut([f"{longest} day"]) == {f"{longest} day": encoder.traits.context + 1}
    encoder.encode_texts([longest])
    assert "is truncated" not in "".join(capsys.readouterr())
    assert not np.array_equal(encoder.encode_texts([longest]), encoder.encode_texts([longest.removesuffix(" day")]))


def test_preprocessing_in_many_threads_is_preprocessing_in_one(clip, pictures):
    """Decode threads share one preprocessor."""
    expected = [clip.preprocess(p) for p in pictures]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            actual = list(pool.map(clip.preprocess, pictures))
            assert all(np.array_equal(e, a) for e, a in zip(expected, actual, strict=True))


@pytest.mark.slow
def test_texts_from_many_threads_are_texts_from_one(clip):
    """Fast tokenizers panic when two threads change their padding; ours are guarded."""
    texts = ["dog " * n for n in range(1, 40)]
    expected = [clip.encode_texts([text]) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(lambda text: clip.encode_texts([text]), texts))
    assert np.allclose(np.concatenate(expected), np.concatenate(actual), atol=1e-6)


def test_a_text_without_a_direction_is_an_error(monkeypatch):
    """A model that overflows in its dtype must not fill a taxonomy with NaN."""
    encoder = FakeEncoder()
    monkeypatch.setattr(encoder, "_text_features", lambda texts: np.full((len(texts), 4), np.nan, dtype=np.float32))
    with pytest.raises(ModelUnsupportedError, match=r"'a dog'; try ENRICH_DTYPE=float32"):
        encoder.encode_texts(["a dog"])


def test_an_image_without_a_direction_is_nan_and_alone():
    """Other rows of the batch are unharmed."""
    encoder: Encoder = FakeEncoder()
    encoder.nowhere = {7}  # type: ignore[attr-defined]
    vectors = encoder.encode_images([pixels(1), pixels(7), pixels(2)])
    assert [True, False, True] == np.isfinite(vectors).all(axis=1).tolist()


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.integers(1, 6)),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)
def test_rows_are_unit_or_nan(vectors):
    """For any float32 input, a row comes out with length one, or as NaN where it has no direction."""
    rows = unit_rows(vectors)
    for source, row in zip(vectors, rows, strict=True):
        if np.isfinite(source).all() and np.any(source):
            assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)
        else:
            assert np.isnan(row).all()
