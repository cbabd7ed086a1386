"""A tiny training run: reproducible, and readable by the encoder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional

from training import train, vocabulary
from training.corpus import NOTHING, Corpus, tag_matrix
from training.train import Geometry, Recipe
from worker.encoder.starter.efficientnet import CLASSES, POOLED, STATISTICS
from worker.encoder.starter.heads import Head, Heads
from worker.encoder.starter.minilm import WIDTH
from worker.encoder.starter.model import filled

pytestmark = pytest.mark.slow

PICTURES, TEXTS = 24, 40
RECIPE = Recipe(steps=3, captioned=8, foldered=4, anchors=6)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Sixteen captioned pictures and eight of one folder, all noise."""
    noise = torch.Generator().manual_seed(0)
    captioned = torch.arange(PICTURES) < 16
    return Corpus(
        views=torch.rand(PICTURES, 2, POOLED + STATISTICS, generator=noise),
        named=torch.rand(PICTURES, 2, WIDTH, generator=noise),
        tags=tag_matrix([["day", "outdoor"], ["night"], ["text", "document"]] * (PICTURES // 3)),
        concept=torch.where(captioned, NOTHING, CLASSES),
        captioned=captioned,
        captions=[[number, number + 1] for number in range(PICTURES)],
        class_texts=[[number % TEXTS] for number in range(CLASSES)],
        tag_texts=[[number % TEXTS, (number + 1) % TEXTS] for number in range(len(vocabulary.TAGS))],
        texts=functional.normalize(torch.randn(TEXTS, WIDTH, generator=noise), dim=1),
        text_mean=torch.zeros(WIDTH),
        class_vectors=functional.normalize(torch.randn(CLASSES, WIDTH, generator=noise), dim=1),
    )


def trained(corpus: Corpus, recipe: Recipe = RECIPE) -> Heads:
    shape = Geometry(sentences=corpus.texts, clip=functional.normalize(corpus.texts.flip(0), dim=1))
    return train.train(corpus, shape, torch.rand(CLASSES, POOLED, generator=torch.Generator().manual_seed(1)), recipe)


def test_the_same_seed_gives_the_same_bytes(corpus: Corpus, tmp_path: Path):
    """And another seed other ones."""
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        train.write(trained(corpus, replace(RECIPE, seed=seed)), RECIPE, tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


def test_written_heads_say_how_they_were_made_and_mean_the_same(corpus: Corpus, tmp_path: Path):
    """The recipe is in the file; halving the precision of the matrices hardly turns a vector."""
    heads, path = trained(corpus), tmp_path / "heads" / "heads.safetensors"
    train.write(heads, RECIPE, path)
    read = filled(Heads, load_file(path))

    with safe_open(path, "pt") as file:
        assert asdict(RECIPE) == json.loads(file.metadata()["recipe"])
    cosines = (heads.embed_texts(corpus.texts) * read.embed_texts(corpus.texts)).sum(1)
    assert cosines.min() > 0.9999


def test_dropout_is_for_training_only():
    """It keeps the mean, so that a trained head needs no correction; a head in use answers the same each time."""
    torch.manual_seed(0)
    head, ones = Head(4, dropout=0.25), torch.ones(1000, 50)
    kept = head._dropped(ones)

    assert [0.0, 4 / 3] == pytest.approx(kept.unique().tolist())
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    assert head.eval()._dropped(ones) is ones
