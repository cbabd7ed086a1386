"""The parts by themselves: what the hardware would allow if fetching, tagging and writing cost nothing.

python -m bench.parts SIZE          (ENRICH_MODEL and ENRICH_DTYPE say which encoder; called by bench)
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import transformers
from PIL import Image

from bench.corpus import jpegs
from worker import bootstrap, images, settings
from worker.images import ImageLimits

_SECONDS = 4.0


def rate(action: Callable[[], int]) -> float:
    """Of what ``action`` counts, how many a second; at least two calls after the first."""
    action()
    started, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < _SECONDS or not done:
        done += action()
    return done / spent


def main() -> None:
    size = sys.argv[1]
    chosen = settings.load()
    encoder = bootstrap.encoder(chosen)
    loader: Any = transformers.AutoImageProcessor
    peer = loader.from_pretrained(chosen.model)
    files = list(jpegs(size, 4))
    limits = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30, max_side=1 << 16)

    def read(data: bytes) -> np.ndarray:
        with images.read_image(data, limits=limits, min_side=encoder.shrink_to).pixels as picture:
            return encoder.preprocess(picture)

    pixels = [read(files[number % len(files)]) for number in range(chosen.encoder_batch)]

    def encode() -> int:
        encoder.encode_images(pixels)
        return len(pixels)

    def decode() -> int:
        for data in files:
            read(data)
        return len(files)

    def exact() -> int:
        for data in files:
            encoder.preprocess(Image.open(io.BytesIO(data)).convert("RGB"))
        return len(files)

    def processor() -> int:
        for data in files:
            peer(images=Image.open(io.BytesIO(data)), return_tensors="pt")
        return len(files)

    def cosine() -> float:
        fast = encoder.encode_images([read(data) for data in files])
        full = encoder.encode_images([encoder.preprocess(Image.open(io.BytesIO(d)).convert("RGB")) for d in files])
        return float((fast * full).sum(1).min())

    found = {
        "encoder": rate(encode),
        "decode": rate(decode),
        "exact decode": rate(exact),
        "processor": rate(processor),
        "cosine": cosine(),
        "purpose": encoder.purpose,
        "cores": bootstrap.cores(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
