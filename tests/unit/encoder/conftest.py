"""Models that the encoder's tests share: built once, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import tiny_clip, tiny_siglip
from worker.encoder import Encoder, load_encoder


@pytest.fixture(scope="session")
def clip_dir(tmp_path_factory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def siglip_dir(tmp_path_factory) -> Path:
    return tiny_siglip(tmp_path_factory.mktemp("models") / "siglip")


@pytest.fixture(scope="session", params=["torch", pytest.param("openvino", marks=pytest.mark.slow)])
def clip(clip_dir, request) -> Encoder:
    """Every promise of an encoder is kept by every runtime."""
    if request.param == "openvino":
        pytest.importorskip("openvino")
    return load_encoder(str(clip_dir), device="cpu", dtype="float32", runtime=request.param)
