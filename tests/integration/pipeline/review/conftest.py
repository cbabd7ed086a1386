"""One catalog for each test."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from worker.db import Engine


@pytest.fixture
def gallery(engine: Engine) -> Gallery:
    """Three hundred different pictures, of which some have no label."""
    made = Gallery.of(engine, CAUTIOUS)
    assert isinstance(made, Gallery)
    made.add(300)
    return made
