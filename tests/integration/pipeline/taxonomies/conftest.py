"""One catalog for each test."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.taxonomies.archive import COLOUR, Archive
from worker.db import Engine


@pytest.fixture
def archive(engine: Engine) -> Archive:
    """Three hundred images, tagged by colour."""
    made = Archive.of(engine, COLOUR)
    made.add(300)
    return made
