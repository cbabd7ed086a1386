"""With the same weights, our vectors are those of transformers' own code path, for every family we say we drive."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    Siglip2Model,
    SiglipModel,
)

from tests.models import CONTEXT, tiny_clip, tiny_siglip, tiny_siglip2
from worker.encoder import Encoder, load_encoder
from worker.types import Floats

TEXTS = [
    "a photo of a dog",
    "A Photograph, taken at NIGHT.",
    "",
    "Straße 🌃 日本",
    "a very long letter about " + "rooms and trees and " * 30,
]
#: OpenAI's real vocabulary, where the machine has it.
_CLIP_TOKENIZER = Path(__file__).resolve().parents[4] / "shared" / "models" / "clip-tokenizer"


@dataclass(frozen=True, kw_only=True)
class Family:
    """How transformers' documentation says a family is to be used."""

    build: Callable[[Path], Path]
    model: Any
    text_options: dict[str, Any]


FAMILIES = {
    "clip": Family(build=tiny_clip, model=CLIPModel, text_options={"padding": True, "truncation": True}),
    "siglip": Family(
        build=tiny_siglip,
        model=SiglipModel,
        text_options={
            "padding": "max_length",
            "max_length": CONTEXT,
            "truncation": True,
            "return_attention_mask": False,
        },
    ),
    "siglip2": Family(
        build=tiny_siglip2,
        model=Siglip2Model,
        text_options={
            "padding": "max_length",
            "max_length": CONTEXT,
            "truncation": True,
            "return_attention_mask": False,
        },
    ),
}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def directory(family, tmp_path_factory) -> Path:
    built: Path = family.build(tmp_path_factory.mktemp("golden") / "model")
    return built


@pytest.fixture(scope="module")
def encoder(directory) -> Encoder:
    return load_encoder(str(directory), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Noise, ramps and flat colours of awkward sizes."""
    random = np.random.default_rng(11)
    made = [Image.new("RGB", (90, 70), (10, 30, 200)), Image.new("RGB", (1, 1), (200, 30, 10))]
    for width, height in ((301, 203), (64, 64), (65, 63), (17, 500), (640, 63), (1023, 767), (5, 3)):
        y, x = np.mgrid[0:height, 0:width]
        ramp = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1).astype(np.uint8)
        made += [Image.fromarray(ramp), Image.fromarray(random.integers(0, 256, ramp.shape, dtype=np.uint8))]
    return made


def unit(output: Any) -> Floats:
    vectors: Floats = torch.nn.functional.normalize(output.pooler_output.float(), dim=-1).numpy()
    return vectors


def their_images(family: Family, directory: Path, pictures: list[Image.Image]) -> Floats:
    """One picture at a time through the model's own image processor and model class."""
    auto: Any = AutoImageProcessor
    model, processor = family.model.from_pretrained(directory), auto.from_pretrained(directory, backend="pil")
    with torch.no_grad():
        return np.concatenate([unit(model.get_image_features(**processor(p, return_tensors="pt"))) for p in pictures])


def their_texts(family: Family, directory: Path) -> Floats:
    model, tokenizer = family.model.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        tokens = [tokenizer([text], return_tensors="pt", **family.text_options) for text in TEXTS]
        return np.concatenate([unit(model.get_text_features(**token)) for token in tokens])


def cosines(ours: Floats, theirs: Floats) -> Floats:
    products: Floats = (ours * theirs).sum(axis=1)
    return products


def likeness(vectors: Floats) -> float:
    """Median cosine of two different rows: near one, comparing rows would prove nothing."""
    return float(np.median([a @ b for a, b in itertools.combinations(vectors, 2)]))


def test_pictures(family, directory, encoder, pictures):
    """Cosine of at least 0.9999 in float32, on a model that tells these pictures apart."""
    ours = encoder.encode_images([encoder.preprocess(p) for p in pictures])
    theirs = their_images(family, directory, pictures)
    assert likeness(theirs) < 0.8
    assert cosines(ours, theirs).min() >= 0.9999
    assert np.abs(ours - theirs).max() < 1e-4


def test_texts(family, directory, encoder):
    """The same for texts of all lengths and scripts."""
    theirs = their_texts(family, directory)
    assert likeness(theirs) < 0.8
    assert cosines(encoder.encode_texts(TEXTS), theirs).min() >= 0.9999


def test_bfloat16_stays_in_the_space(directory, encoder, pictures):
    """Half the bits, the same directions: device and dtype are rightly no part of the space."""
    short = load_encoder(str(directory), device="cpu", dtype="bfloat16")
    prepared = [encoder.preprocess(p) for p in pictures]
    assert short.space == encoder.space
    assert cosines(short.encode_images(prepared), encoder.encode_images(prepared)).min() >= 0.999
    assert cosines(short.encode_texts(TEXTS), encoder.encode_texts(TEXTS)).min() >= 0.999


def test_the_logits_are_the_models(family, directory, encoder, pictures):
    """The scale turns our cosines into the model's own logits, but for a bias that is the same for all."""
    auto: Any = AutoImageProcessor
    tokenizer = AutoTokenizer.from_pretrained(directory)
    processor = auto.from_pretrained(directory, backend="pil")
    tokens = tokenizer(TEXTS, return_tensors="pt", **family.text_options)
    model = AutoModel.from_pretrained(directory)
    with torch.no_grad():
        output = model(**tokens, **processor(pictures, return_tensors="pt"))
        bias = float(getattr(model, "logit_bias", 0.0))
    images = encoder.encode_images([encoder.preprocess(p) for p in pictures])
    ours = images @ encoder.encode_texts(TEXTS).T * encoder.logit_scale + bias
    assert np.allclose(ours, output.logits_per_image.numpy(), atol=2e-2)


@pytest.mark.skipif(not _CLIP_TOKENIZER.is_dir(), reason="OpenAI's vocabulary is not beside this checkout")
def test_with_the_vocabulary_of_clip(tmp_path, pictures):
    """With OpenAI's tokenizer, a whole CLIPProcessor and 224 pixels, as a user would have it."""
    tokenizer = CLIPTokenizer.from_pretrained(_CLIP_TOKENIZER)
    directory = tiny_clip(tmp_path / "clip", tokenizer=tokenizer)
    encoder = load_encoder(str(directory), device="cpu", dtype="float32")
    auto: Any = AutoImageProcessor
    processor_class: Any = CLIPProcessor
    processor = processor_class(auto.from_pretrained(directory, backend="pil"), tokenizer)
    tokens = processor(
        text=TEXTS, images=pictures, return_tensors="pt", padding=True, truncation=True, max_length=CONTEXT
    )
    with torch.no_grad():
        output = CLIPModel.from_pretrained(directory)(**tokens)
    images = encoder.encode_images([encoder.preprocess(p) for p in pictures])
    assert cosines(images, output.image_embeds.numpy()).min() >= 0.9999
    assert cosines(encoder.encode_texts(TEXTS), output.text_embeds.numpy()).min() >= 0.9999
