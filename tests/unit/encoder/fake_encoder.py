"""An encoder that does what a test says and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from PIL import Image

from worker.encoder import Encoded, Encoder, EncoderTraits, MicroBatcher, Pixels
from worker.encoder.interface import Collect
from worker.types import Floats, SpaceSpec

DIMENSION = 4
GREY = 128
WAIT = 20.0  # seconds, until a test gives up


def pixels(value: int) -> Pixels:
    """A preprocessed image that carries a number."""
    return np.full((3, 2, 2), value, dtype=np.uint8)


def vector_of(value: int) -> Floats:
    """The unit vector FakeEncoder gives ``pixels(value)``: a direction of its own for each value."""
    angle = value / 256 * np.pi / 2
    return np.array([np.cos(angle), np.sin(angle), 0, 0], dtype=np.float32)


class FakeEncoder(Encoder):
    """Maps each value to a direction of its own.

    ``failures`` maps a value to the error a pass holding it raises; ``nowhere`` holds values without a vector;
    ``memory`` is how many images fit. Passes wait for ``gate``.
    """

    def __init__(self, *, batch: int = 8, memory: int = 1_000_000) -> None:
        space = SpaceSpec(model="fake", revision="1", preprocessing="1", dimension=DIMENSION)
        super().__init__(
            EncoderTraits(
                space=space,
                logit_scale=100.0,
                context=77,
                input_side=2,
                purpose="fake on nothing in float32",
            ),
            batch=batch,
        )
        self.memory = memory
        self.failures: dict[int, Exception] = {}
        self.nowhere: set[int] = set()
        self.passes: list[list[int]] = []
        self.released = 0
        self.isolation_lock = threading.Event()
        self.isolation_lock.set()
        self.entered = threading.Event()

    def preprocess(self, image: Image.Image) -> Pixels:
        return pixels(GREY)

    def release_memory(self) -> None:
        self.released += 1

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        values = [int(image.flat[0]) for image in pixels]
        self.passes.append(values)
        self.entered.set()
        self.isolation_lock.wait(30)
        if len(values) > self.memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        for value in values:
            if value in self.failures:
                raise self.failures[value]
        return np.stack([np.full(DIMENSION, np.nan) if v in self.nowhere else vector_of(v) * 7 for v in values])

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) + 2 for text in texts]

    def _text_features(self, texts: Sequence[str]) -> Floats:
        return np.stack([vector_of(len(text)) for text in texts])


class FakeDeviceEncoder(FakeEncoder):
    """A device that computes by itself and reports late: a pass happens, or fails, when its vectors are waited for.

    ``launch_failures`` maps a value to the error its launch raises, ``launch_memory`` is how many images can be
    launched. ``log`` holds what happened, in order.
    """

    def __init__(self, *, batch: int = 8, memory: int = 1_000_000) -> None:
        super().__init__(batch=batch, memory=memory)
        self.launch_failures: dict[int, Exception] = {}
        self.launch_memory = 1_000_000
        self.log: list[tuple[str, list[int]]] = []

    @property
    def ahead(self) -> int:
        return 2

    def _launch_features(self, pixels: Sequence[Pixels]) -> Collect:
        values = [int(image.flat[0]) for image in pixels]
        self.log.append(("launch", values))
        if len(values) > self.launch_memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        for value in values:
            if value in self.launch_failures:
                raise self.launch_failures[value]
        copied = [image.copy() for image in pixels]

        def collect() -> Floats:
            self.log.append(("collect", values))
            return self._image_features(copied)

        return collect


def held(encoder: FakeEncoder, batcher: MicroBatcher) -> Future[list[Encoded]]:
    """Have the batcher wait for the vectors of one image, so that whatever is submitted next has to queue."""
    encoder.isolation_lock.clear()
    encoder.entered.clear()
    first = batcher.submit([pixels(0)])
    assert encoder.entered.wait(WAIT)
    return first
