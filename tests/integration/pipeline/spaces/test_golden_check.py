"""A model that makes other vectors than its space was filled with is found out before it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.fakes import ColourEncoder
from tests.models import tiny_clip
from worker.catalog.spaces import Space
from worker.db import Engine
from worker.encoder import Encoder, load_encoder
from worker.errors import SpaceMismatchError
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.model_loading import ModelSetting, choose_space, ensure_space, require_space


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def load(path: Path, dtype: str = "float32") -> Encoder:
    return load_encoder(str(path), device="cpu", dtype=dtype)


@pytest.fixture
def space(engine: Engine, clip: Path) -> Space:
    """A space made with the model as it was, in float32."""
    encoder = load(clip)
    made = ensure_space(engine, encoder, ModelSetting(model=str(clip), revision=None))
    golden_check.require(engine, made, encoder)
    return made


def copy(clip: Path, to: Path) -> Path:
    to.mkdir()
    for file in clip.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def spoilt(clip: Path, to: Path, tensor: str) -> Path:
    """A copy of the model of which one tensor is zero."""
    copy(clip, to)
    weights = load_file(to / "model.safetensors")
    weights[tensor].zero_()
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_same_model_in_another_number_format_passes(engine, space, clip, dtype):
    """Machines of different kinds work on one bucket."""
    found = golden_check.check(engine, space, load(clip, dtype))
    assert (9, ()) == (found.compared, found.differences)


@pytest.mark.parametrize(
    ("tensor", "names"),
    [
        ("vision_model.encoder.layers.1.mlp.fc1.weight", "the vector of rings.png"),
        ("text_model.encoder.layers.1.mlp.fc1.weight", "the vector of text 1"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tampered_weights_are_found_out(  # noqa: PLR0917  # fixtures and parameters
    engine, space, clip, tmp_path, tensor, names, dtype
):
    """Under the same name and revision, as in a cache that somebody has written to; in either half, in any format."""
    with pytest.raises(SpaceMismatchError) as refused:
        golden_check.require(engine, space, load(spoilt(clip, tmp_path / "spoilt", tensor), dtype))
    message = str(refused.value)
    assert f"produces different vectors here than those stored in space {space.id}" in message
    assert names in message
    assert ("files of the model or its processor have changed" if dtype == "float32" else "dtype float32 →") in message
    assert f"enrich space check {space.id} --accept" in message


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_another_way_of_preparing_pictures_is_found_out(engine, space, clip, dtype, monkeypatch):
    """Also where vectors differ less than between number formats: prepared pictures are compared as well."""
    encoder = load(clip, dtype)
    monkeypatch.setattr(encoder, "preprocess", lambda picture: _bilinear(picture, encoder.input_side))
    with pytest.raises(SpaceMismatchError, match=r"rings\.png is preprocessed differently \(by \d+\.\d of 255 levels"):
        golden_check.require(engine, space, encoder)


def _bilinear(picture: Image.Image, side: int) -> np.ndarray:
    shorter = min(picture.size)
    size = (picture.width * side // shorter, picture.height * side // shorter)
    resized = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (resized.width - side) // 2, (resized.height - side) // 2
    cut = resized.crop((left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(cut).transpose(2, 0, 1))


def test_a_changed_processor_file_of_the_same_name_is_refused(engine, space, clip, tmp_path):
    """The worker says which file, and does not begin another space."""
    changed = copy(clip, tmp_path / "changed")
    config = json.loads((changed / "preprocessor_config.json").read_text())
    (changed / "preprocessor_config.json").write_text(json.dumps(config | {"image_mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(SpaceMismatchError, match=r"the image processor's file, .* has changed \(preprocessing"):
        choose_space(engine, ModelSetting(model=str(clip), revision=None), lambda *_: load(changed))


def test_changed_weights_in_a_directory_are_refused(engine, space, clip, tmp_path):
    """A directory's revision is a digest of its files."""
    changed = spoilt(clip, tmp_path / "changed", "vision_model.encoder.layers.1.mlp.fc1.weight")
    with pytest.raises(SpaceMismatchError, match=r"the weights, the configuration or the tokenizer have changed"):
        require_space(space, load(changed))


def test_what_differs_names_libraries_that_changed(engine, space, clip, tmp_path, monkeypatch):
    """Then and now, for whoever has to find out which upgrade it was."""
    monkeypatch.setattr(golden_check, "version", lambda package: "99.9" if package == "pillow" else None)
    spoilt_model = load(spoilt(clip, tmp_path / "spoilt", "vision_model.encoder.layers.0.mlp.fc2.weight"))
    with pytest.raises(SpaceMismatchError, match=r"Changed since: .*pillow \d+\.\S+ → 99\.9"):
        golden_check.require(engine, space, spoilt_model)


def test_other_libraries_that_make_the_same_vectors_pass(engine, space, clip, monkeypatch):
    """An upgrade is no reason to stop: what counts is what comes out."""
    monkeypatch.setattr(golden_check, "version", lambda _: "99.9")
    found = golden_check.check(engine, space, load(clip))
    assert (True, True) == (found.agrees, "torch" in found.changed)


def test_a_process_that_only_searches_compares_texts(engine, space, clip, tmp_path):
    """It has no image tower; a wrong text half would find nonsense."""
    texts = load_encoder(str(clip), device="cpu", dtype="float32", text_only=True)
    assert 5 == golden_check.check(engine, space, texts, only="texts").compared
    wrong = spoilt(clip, tmp_path / "spoilt", "text_model.encoder.layers.1.mlp.fc1.weight")
    with pytest.raises(SpaceMismatchError, match="text 1"):
        golden_check.require(engine, space, load_encoder(str(wrong), device="cpu", text_only=True), only="texts")


def test_a_difference_may_be_accepted(engine, space, clip, tmp_path):
    """By a person who knows better; from then on the new vectors are what is compared with."""
    other = load(spoilt(clip, tmp_path / "spoilt", "vision_model.encoder.layers.1.mlp.fc1.weight"))
    golden_check.accept(engine, space, other)
    golden_check.require(engine, space, other)
    with pytest.raises(SpaceMismatchError):
        golden_check.require(engine, space, load(clip))


def test_the_first_to_come_decides(engine, clip):
    """Two workers that start at once compare with the same vectors."""
    encoder = load(clip)
    made = ensure_space(engine, encoder, ModelSetting(model=str(clip), revision=None))
    assert golden_check.check(engine, made, encoder).agrees
    assert not golden_check.check(engine, made, ColourEncoder()).agrees
