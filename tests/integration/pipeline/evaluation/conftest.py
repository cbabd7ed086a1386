"""The catalog of the review tests."""

from __future__ import annotations

from tests.integration.pipeline.review.conftest import gallery

__all__ = ["gallery"]
