"""A catalog with groups of images, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.factories import DIMENSION, enriched_image, spec
from worker import catalog
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.types import Floats

Fill = Callable[..., list[int]]


def vectors(count: int, *, axes: Sequence[int] = (0, 5, 10), seed: int = 0) -> tuple[Floats, list[int]]:
    """Unit vectors near some axes, and the axis of each."""
    random = np.random.default_rng(seed)
    chosen = random.choice(np.array(axes), count)
    made = np.eye(DIMENSION, dtype=np.float32)[chosen] + 0.08 * random.normal(size=(count, DIMENSION))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32), chosen.tolist()


@pytest.fixture
def space(engine: Engine) -> Space:
    with transaction(engine) as connection:
        return catalog.spaces.ensure(connection, spec())


@pytest.fixture
def fill(engine: Engine, space: Space) -> Fill:
    """Writes images in groups, labelled by their group; returns the axes."""

    def write(count: int, *, prefix: str = "a", axes: Sequence[int] = (0, 5, 10), seed: int = 0) -> list[int]:
        made, chosen = vectors(count, axes=axes, seed=seed)
        images = [
            enriched_image(f"{prefix}/{number:05}.jpg", label=f"axis-{axis}", vector=vector)
            for number, (vector, axis) in enumerate(zip(made, chosen, strict=True))
        ]
        with transaction(engine) as connection:
            catalog.write.save_images(connection, space_id=space.id, images=images)
        return chosen

    return write
