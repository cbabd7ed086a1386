"""The parts by themselves: what the hardware would allow if fetching, tagging and writing cost nothing.

python -m bench.parts SIZE          (ENRICH_* variables say which encoder; a line on stdin is a turn)
"""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from typing import Any

import transformers
from PIL import Image

from bench import child
from bench.corpus import jpegs
from bench.rates import rate
from worker import bootstrap, images, settings
from worker.encoder import Encoder, Pixels
from worker.errors import ConfigurationError
from worker.images import ImageLimits
from worker.resources import cores
from worker.types import Floats

_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_LIMITS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30, max_side=1 << 16)


class Parts:
    """Decoder, encoder, and what the peer's image processor does instead."""

    def __init__(self, size: str) -> None:
        self._settings = settings.load()
        self._encoder = bootstrap.encoder(self._settings)
        self._files = list(jpegs(size, 4))
        loader: Any = transformers.AutoImageProcessor
        self._processor = loader.from_pretrained(self._settings.model)
        self._exact = bootstrap.encoder(settings.load(preprocessing="exact"))
        self._openvino = self._with_openvino() if find_spec("openvino") else None
        self._pixels = [_prepared(self._encoder, self._files[0])]

    def measure(self) -> dict[str, float]:
        """Rates in images/s: encoders on all cores, the others on one."""
        return {
            "ours": rate(lambda: self._encode(self._encoder, self._settings.encoder_batch)),
            **self._compiled(),
            "decode": rate(lambda: len(self._decoded(self._encoder))),
            "processor": rate(self._process),
            "cosine": _least_cosine(self._vectors(self._encoder), self._vectors(self._exact)),
            "cores": cores(),
            **{f"batch {size}": rate(lambda size=size: self._encode(self._encoder, size), 1.0) for size in _BATCHES},  # type: ignore[misc]
        }

    def _compiled(self) -> dict[str, float]:
        if (compiled := self._openvino) is None:
            return {}
        return {
            "openvino": rate(lambda: self._encode(compiled, self._settings.encoder_batch)),
            "openvino cosine": _least_cosine(self._vectors(compiled), self._vectors(self._encoder)),
        }

    def _with_openvino(self) -> Encoder | None:
        try:
            return bootstrap.encoder(settings.load(encoder_runtime="openvino"))
        except ConfigurationError:  # a GPU, say
            return None

    def _encode(self, encoder: Encoder, batch: int) -> int:
        encoder.encode_images(self._pixels * batch)
        return batch

    def _vectors(self, encoder: Encoder) -> Floats:
        return encoder.encode_images(self._decoded(encoder))

    def _decoded(self, encoder: Encoder) -> list[Pixels]:
        return [_prepared(encoder, data) for data in self._files]

    def _process(self) -> int:
        for data in self._files:
            self._processor(images=Image.open(io.BytesIO(data)), return_tensors="pt")
        return len(self._files)


def _least_cosine(ours: Floats, theirs: Floats) -> float:
    return float((ours * theirs).sum(1).min())


def _prepared(encoder: Encoder, data: bytes) -> Pixels:
    with images.read_image(data, limits=_LIMITS, min_side=encoder.shrink_to).pixels as picture:
        return encoder.preprocess(picture)


def main() -> None:
    child.serve(Parts(sys.argv[1]).measure)


if __name__ == "__main__":
    main()
