"""The image half compiled by OpenVINO: the same space, the same vectors but for roundings."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from worker.encoder import Encoder, load_encoder
from worker.errors import ConfigurationError

pytestmark = pytest.mark.slow


def noise(count: int) -> list[Image.Image]:
    random = np.random.default_rng(7)
    return [Image.fromarray(random.integers(0, 256, (80, 96, 3), dtype=np.uint8)) for _ in range(count)]


def vectors(encoder: Encoder) -> np.ndarray:
    return encoder.encode_images([encoder.preprocess(picture) for picture in noise(5)])


@pytest.fixture(autouse=True)
def _openvino() -> None:
    pytest.importorskip("openvino")


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.9999), ("bfloat16", 0.999)])
def test_vectors_are_those_of_torch(clip_dir, dtype, least):
    """A bucket that torch has filled in float32 can be filled further by OpenVINO, in either format."""
    reference = load_encoder(str(clip_dir), device="cpu", dtype="float32")
    compiled = load_encoder(str(clip_dir), device="cpu", dtype=dtype, runtime="openvino")
    assert (vectors(reference) * vectors(compiled)).sum(axis=1).min() >= least
    assert reference.space == compiled.space


def test_siglip_is_compiled_too(siglip_dir):
    """Another family, with another pooling."""
    reference = load_encoder(str(siglip_dir), device="cpu", dtype="float32")
    compiled = load_encoder(str(siglip_dir), device="cpu", dtype="float32", runtime="openvino")
    assert (vectors(reference) * vectors(compiled)).sum(axis=1).min() >= 0.9999


def test_the_purpose_says_what_runs(clip_dir):
    """In logs and heartbeats one can see which runtime made a vector."""
    assert "compiled by OpenVINO" in load_encoder(str(clip_dir), device="cpu", runtime="openvino").purpose


def test_a_process_that_only_searches_needs_no_compiler(clip_dir, monkeypatch):
    """Texts are encoded by torch, whatever runs the image half."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = load_encoder(str(clip_dir), device="cpu", dtype="float32", runtime="openvino", text_only=True)
    assert (1, words.space.dimension) == words.encode_texts(["dog"]).shape


def test_without_the_package_the_way_out_is_said(clip_dir, monkeypatch):
    """Asking for what is not installed names the extra."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigurationError, match=r"image-enricher\[openvino\]"):
        load_encoder(str(clip_dir), device="cpu", runtime="openvino")
