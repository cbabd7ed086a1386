"""Finding a model's files: which are needed, which are refused, and what identifies a version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from worker.encoder.files import ModelFiles, check_names, locate
from worker.errors import ConfigurationError, ModelUnavailableError, ModelUnsupportedError

pytestmark = pytest.mark.slow

WHOLE = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"}


@pytest.fixture
def copy(clip_dir, tmp_path) -> Path:
    """A copy of the small CLIP that a test may damage."""
    return Path(shutil.copytree(clip_dir, tmp_path / "copy"))


def test_a_directory_is_named_by_what_is_in_it(clip_dir):
    """The name says model type, the revision is a digest; neither depends on where the directory is."""
    files = locate(str(clip_dir), None)
    assert files == ModelFiles(path=clip_dir, name="local/clip", revision=files.revision)
    assert 40 == len(files.revision)


def test_a_copy_elsewhere_is_the_same_model(clip_dir, copy):
    """Moving, renaming or re-dating a directory does not make a new embedding space."""
    for file in copy.iterdir():
        file.touch()
    (copy / "README.md").write_text("notes of whoever copied it")
    here, there = locate(str(clip_dir), None), locate(str(copy), None)
    assert (here.name, here.revision) == (there.name, there.revision)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_one_changed_byte_is_another_model(clip_dir, copy, file):
    """Weights, architecture and tokenizer all decide what vectors mean."""
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content + b"\n")
    assert locate(str(clip_dir), None).revision != locate(str(copy), None).revision


def test_the_origin_in_the_config_becomes_the_name(copy):
    """A model saved from a hub id keeps that name; a path in its place is not taken for one."""
    config = json.loads((copy / "config.json").read_text())
    for origin, expected in (("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32"), ("/a/b", "local/clip")):
        (copy / "config.json").write_text(json.dumps(config | {"_name_or_path": origin}))
        assert expected == locate(str(copy), None).name


def test_a_pinned_digest_is_held(clip_dir):
    """ENRICH_MODEL_REVISION of a directory is the digest it must have."""
    digest = locate(str(clip_dir), None).revision
    assert locate(str(clip_dir), digest).revision == digest
    with pytest.raises(ConfigurationError, match=f"is 1234, but the model in .* is {digest}"):
        locate(str(clip_dir), "1234")


def test_shards_are_part_of_the_digest(copy):
    """Sharded weights count through their index; a shard that is missing is named."""
    shutil.move(copy / "model.safetensors", copy / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"logit_scale": "model-00001-of-00001.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    before = locate(str(copy), None).revision
    with (copy / "model-00001-of-00001.safetensors").open("ab") as shard:
        shard.write(b"\0")
    assert locate(str(copy), None).revision != before
    (copy / "model-00001-of-00001.safetensors").unlink()
    with pytest.raises(ModelUnsupportedError, match=r"lacks model-00001-of-00001\.safetensors"):
        locate(str(copy), None)


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"weight_map": 3}'])
def test_a_broken_index_is_named(copy, content):
    """An index that lists nothing readable is an error about that file."""
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelUnsupportedError, match=r"model\.safetensors\.index\.json does not list"):
        locate(str(copy), None)


@pytest.mark.parametrize("content", ["not json", "[]"])
def test_a_broken_config_is_named(copy, content):
    """So is a configuration that cannot be read."""
    (copy / "config.json").write_text(content)
    with pytest.raises(ModelUnsupportedError, match=r"config\.json is not a model's configuration"):
        locate(str(copy), None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            WHOLE - {"model.safetensors"} | {"pytorch_model.bin"},
            "pickled.*ENRICH_MODEL_REVISION=refs/pr/.*save_pretrained",
        ),
        (WHOLE - {"model.safetensors"}, "weights are missing; copy or download"),
        (WHOLE - {"config.json"}, "not a model saved by transformers"),
        (WHOLE - {"config.json"} | {"open_clip_config.json"}, "OpenCLIP's own format"),
        (WHOLE - {"preprocessor_config.json"}, "no preprocessor_config.json.*copy it from"),
        (WHOLE - {"tokenizer.json"}, "no tokenizer.*copy it from"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(names, message):
    """A directory or repository that is not a whole, safe model is refused before anything is loaded."""
    with pytest.raises(ModelUnsupportedError, match=message):
        check_names("some/model", names)


@pytest.mark.parametrize(
    "names",
    [
        WHOLE,
        WHOLE | {"pytorch_model.bin"},
        WHOLE - {"tokenizer.json"} | {"vocab.json", "merges.txt"},
        WHOLE - {"tokenizer.json"} | {"spiece.model"},
        WHOLE - {"preprocessor_config.json"} | {"processor_config.json"},
        WHOLE - {"model.safetensors"} | {"model.safetensors.index.json"},
    ],
)
def test_every_usual_layout_is_taken(names):
    """Pickles beside safetensors do no harm, and older and newer file names are both understood."""
    check_names("some/model", names)


def test_only_pickled_weights_are_refused(copy):
    """A directory with nothing but pytorch_model.bin is never unpickled."""
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelUnsupportedError, match="unpickling runs whatever code the file holds"):
        locate(str(copy), None)


@pytest.mark.parametrize("model", ["/no/such/directory", "./models/clip", "~/clip", "models/clip/b32", "", " "])
def test_a_path_that_does_not_exist_never_reaches_the_hub(model):
    """A mistyped path is reported as a path, with both ways out."""
    with pytest.raises(ModelUnavailableError, match=r"no such directory.*set ENRICH_MODEL to a directory.*starter"):
        locate(model, None)


def test_a_file_is_not_a_directory(clip_dir):
    """Giving the weights' file instead of its directory is the same mistake."""
    with pytest.raises(ModelUnavailableError, match="no such directory"):
        locate(str(clip_dir / "model.safetensors"), None)


def test_a_name_the_hub_cannot_have_is_refused():
    """Neither a directory nor a possible hub id."""
    with pytest.raises(ModelUnavailableError, match="neither a directory nor a hub id"):
        locate("what is this?", None)
