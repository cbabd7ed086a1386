"""The starter keeps the promises of every encoder, and says what it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from worker.encoder import starter
from worker.encoder.interface import Encoder
from worker.encoder.starter import model, wheels
from worker.errors import ConfigurationError, ModelUnavailableError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return starter.load(device="cpu", dtype="float32", batch=8)


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Blobs of colour; the same for the same seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def test_it_says_what_it_is_for(encoder: Encoder):
    """One line for logs and /readyz, with the way to a real model."""
    expected = (
        "starter on cpu in float32: built in, for trying out; set ENRICH_MODEL to a real CLIP model for production"
    )
    assert expected == encoder.purpose


def test_it_fills_a_space_of_its_own(encoder: Encoder):
    """Whose name is the starter's and whose revision covers the weights."""
    assert ("starter", 896) == (encoder.space.model, encoder.space.dimension)
    assert encoder.space == starter.load(device="cpu", dtype="bfloat16").space


def test_other_heads_are_another_space(encoder: Encoder, tmp_path, monkeypatch):
    """Vectors of retrained heads never mix with those of the old ones."""
    heads = tmp_path / "heads.safetensors"
    content = bytearray(model.HEADS.read_bytes())
    content[-1] ^= 1
    heads.write_bytes(content)
    monkeypatch.setattr(model, "HEADS", heads)

    assert encoder.space.fingerprint != starter.load(device="cpu").space.fingerprint


def test_vectors_have_unit_length(encoder: Encoder):
    """Images and texts, both of 896 components."""
    images = encoder.encode_images([encoder.preprocess(picture(seed)) for seed in range(3)])
    texts = encoder.encode_texts(["a cat", "", "🌃"])

    assert images.shape == texts.shape == (3, 896)
    np.testing.assert_allclose(np.linalg.norm([*images, *texts], axis=1), 1, rtol=1e-5)


def test_nothing_in_nothing_out(encoder: Encoder):
    """No images and no texts are no error."""
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 896)


def test_company_does_not_matter(encoder: Encoder):
    """A vector is the same alone, in a batch, and across several batches."""
    pixels = [encoder.preprocess(picture(seed)) for seed in range(19)]
    texts = ["a cat", "a very long sentence about a dog on a sofa in a room full of books", "rain"] * 4

    alone = np.concatenate([encoder.encode_images([one]) for one in pixels])
    np.testing.assert_allclose(encoder.encode_images(pixels), alone, atol=1e-5)
    alone = np.concatenate([encoder.encode_texts([one]) for one in texts])
    np.testing.assert_allclose(encoder.encode_texts(texts), alone, atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_any_mode_is_taken(encoder: Encoder, mode: str):
    """Preprocessing ends in three channels whatever the picture had."""
    image = Image.new("I;16", (32, 32), 40_000) if mode == "I;16" else picture(0).convert(mode)

    assert (3, 224, 224) == encoder.preprocess(image).shape


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (224, 224), (5000, 40)])
def test_any_shape_is_squashed_to_a_square(encoder: Encoder, size: tuple[int, int]):
    """Nothing is cropped, and no shape is an error."""
    pixels = encoder.preprocess(picture(1, size))

    assert (3, 224, 224) == pixels.shape
    assert np.isfinite(encoder.encode_images([pixels])).all()


def test_preprocessing_runs_in_many_threads(encoder: Encoder):
    """Eight threads get what one gets."""
    images = [picture(seed) for seed in range(32)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(encoder.preprocess, images))

    for one, other in zip(map(encoder.preprocess, images), together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bfloat16_hardly_turns_the_vectors(encoder: Encoder):
    """The faster format stays within one hundredth of the exact one."""
    fast = starter.load(device="cpu", dtype="bfloat16")
    pixels = [encoder.preprocess(picture(seed)) for seed in range(8)]

    assert ((fast.encode_images(pixels) * encoder.encode_images(pixels)).sum(1) > 0.99).all()


def test_a_missing_wheel_is_said_before_anything_else(monkeypatch):
    """The error that `ENRICH_MODEL=starter` gives without the starter extra."""
    missing = wheels.WheelFile(distribution="gone", package="gone_for_good", path="x", sha256="")
    monkeypatch.setattr(wheels, "MINILM", missing)

    with pytest.raises(ModelUnavailableError, match=r"pip install 'image-enricher\[starter\]'"):
        starter.load()


def test_an_unknown_device_is_refused():
    """With the valid choices, like any other model."""
    with pytest.raises(ConfigurationError, match="must be auto, cpu"):
        starter.load(device="tpu")
