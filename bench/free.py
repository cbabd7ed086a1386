"""An encoder whose forward pass costs nothing: what is left is what a worker process does besides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from worker import bootstrap
from worker.encoder import Encoder, Pixels
from worker.types import Floats


class Free(Encoder):
    """Prepares pictures and encodes texts as another encoder does; a picture's vector depends on its samples' sum."""

    def __init__(self, of: Encoder) -> None:
        super().__init__(of.traits, batch=of.batch)
        self._of = of
        self._vectors = np.random.default_rng(0).standard_normal((256, of.space.dimension)).astype(np.float32)

    def preprocess(self, image: Image.Image) -> Pixels:
        return self._of.preprocess(image)

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        return self._vectors[[int(each[0, ::16, ::16].sum()) % len(self._vectors) for each in pixels]]

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [0 for _ in texts]

    def _text_features(self, texts: Sequence[str]) -> Floats:
        return self._of.encode_texts(texts)


def take_over() -> None:
    """From now on, every encoder that this process loads is free."""
    load = bootstrap.encoder

    def loaded(*arguments: object, **options: object) -> Encoder:
        return Free(load(*arguments, **options))  # type: ignore[arg-type]

    bootstrap.encoder = loaded
