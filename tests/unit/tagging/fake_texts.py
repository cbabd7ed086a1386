"""A text encoder for tests: any text to a unit vector that depends on nothing but the text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from worker.types import Floats

DIMENSION = 16


def vector(text: str, dimension: int = DIMENSION) -> Floats:
    """A direction drawn from the text's hash."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    drawn = np.random.default_rng(seed).normal(size=dimension)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


class FakeTexts:
    """Callable as ``encode_texts``; remembers what it was asked."""

    def __init__(self, known: Mapping[str, Sequence[float]] | None = None) -> None:
        self.known = dict(known or {})
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, texts: Sequence[str]) -> Floats:
        self.calls.append(tuple(texts))
        return np.array([self.known.get(text, vector(text)) for text in texts], dtype=np.float32)


def images(count: int, seed: int = 0, dimension: int = DIMENSION) -> Floats:
    """``[count, dimension]`` random unit vectors."""
    drawn = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit
