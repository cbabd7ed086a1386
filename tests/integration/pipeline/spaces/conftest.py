"""One catalog for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.pipeline.spaces import world as worlds
from worker.db import Engine


@pytest.fixture
def world(engine: Engine) -> Iterator[worlds.World]:
    with worlds.world(engine) as made:
        yield made
