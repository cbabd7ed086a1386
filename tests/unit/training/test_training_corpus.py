"""What the corpus makes of its texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training import corpus, vocabulary
from worker.encoder.starter.efficientnet import CLASSES
from worker.encoder.starter.minilm import WIDTH

pytestmark = pytest.mark.slow


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Every text asked for, and the direction it got."""
    vectors: dict[str, Tensor] = {}

    def sentence_vectors(_: Any, texts: Sequence[str]) -> Tensor:
        for number, text in enumerate(texts):
            noise = torch.Generator().manual_seed(number)
            vectors[text] = functional.normalize(torch.randn(WIDTH, generator=noise), dim=0)
        return torch.stack([vectors[text] for text in texts])

    monkeypatch.setattr(corpus, "sentence_vectors", sentence_vectors)
    return vectors


def test_a_class_lies_halfway_to_its_everyday_names(said: dict[str, Tensor]):
    """A washbasin is as near to "a sink" as to its own name; a class without such a name stays where it was."""
    anchors = functional.normalize(torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(9)), dim=1)
    centred = functional.normalize(anchors - anchors.mean(0), dim=1)
    vectors = corpus.named_as_people_do(None, anchors)  # type: ignore[arg-type]  # the fake needs no model

    sink = functional.normalize(said["a photo of a sink"] - anchors.mean(0), dim=0)
    plain = next(n for n in range(CLASSES) if not vocabulary.class_tags(n) & set(vocabulary.THINGS))
    assert float(vectors[896] @ sink) == pytest.approx(float(vectors[896] @ centred[896]), abs=1e-5)
    assert float(vectors[896] @ sink) > 0.6
    torch.testing.assert_close(vectors[plain], centred[plain])


@pytest.mark.parametrize(("count", "kept"), [(corpus._MANY - 1, 0), (corpus._MANY, 1)])
def test_only_what_took_long_is_kept(count: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Prompts come in hundreds of small lists; each file of the cache should be worth its place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(corpus, "_encode", lambda _, texts: torch.full((len(texts), WIDTH), 0.1))
    vectors = corpus.sentence_vectors(None, [str(number) for number in range(count)])  # type: ignore[arg-type]

    assert vectors.shape == (count, WIDTH)
    assert vectors.dtype == torch.float32
    assert float(vectors[0, 0]) == float(torch.tensor(0.1).half())
    assert len(list(tmp_path.rglob("training-texts-*"))) == kept
