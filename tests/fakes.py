"""Fakes of ours, small enough to be obviously right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from tests.factories import DIMENSION, spec
from worker.encoder import Encoder, EncoderTraits, Pixels
from worker.types import Floats

_SIDE = 16


class ColourEncoder(Encoder):
    """Sees colours only: red, green and blue are the first three axes, for pictures and for those three words."""

    def __init__(self, model: str = "tiny") -> None:
        super().__init__(
            EncoderTraits(
                space=spec(model),
                logit_scale=20.0,
                context=77,
                input_side=_SIDE,
                purpose=f"{model}: a fake that sees colours",
            ),
            batch=32,
        )
        self.passes: list[int] = []

    def preprocess(self, image: Image.Image) -> Pixels:
        return np.asarray(image.resize((_SIDE, _SIDE)), dtype=np.uint8)

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        self.passes.append(len(pixels))
        vectors = np.zeros((len(pixels), DIMENSION), dtype=np.float32)
        vectors[:, :3] = np.stack(pixels).reshape(len(pixels), -1, 3).mean(axis=1) + 1
        return vectors

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) + 2 for text in texts]

    def _text_features(self, texts: Sequence[str]) -> Floats:
        vectors = np.full((len(texts), DIMENSION), 0.01, dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for axis, word in enumerate(("red", "green", "blue")):
                row[axis] += word in text
        return vectors
