"""Models that somebody else has made: what is read is data inside of their folder, and nothing is run or waited for."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from worker.encoder import Encoder, load_encoder
from worker.encoder.regexes import repeats_repetitions
from worker.errors import ModelUnsupportedError

pytestmark = pytest.mark.slow

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], (str, bytes)):
        _opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def copy(clip: Encoder, clip_dir: Path, tmp_path: Path) -> Path:
    """A copy of the small CLIP that a test may change; what is loaded once for all models is loaded."""
    return Path(shutil.copytree(clip_dir, tmp_path / "copy"))


@pytest.fixture
def foreign(copy: Path) -> Path:
    """Good weights that are not in the model's folder."""
    (copy.parent / "foreign").mkdir()
    return Path(shutil.copy(copy / "model.safetensors", copy.parent / "foreign" / "secret.safetensors"))


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Which files Python opens meanwhile."""
    global _opened  # noqa: PLW0603  # an audit hook stays for as long as the process
    _opened = []
    yield _opened
    _opened = None


def refused(model: Path) -> str:
    """Why it is, within a second of this thread's time: the machine may be busy."""
    began = time.thread_time()
    with pytest.raises(ModelUnsupportedError) as error:
        load_encoder(str(model), device="cpu", dtype="float32")
    assert time.thread_time() - began < 1
    return str(error.value)


def edit(file: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def put(at: str, value: object) -> Callable[[Any], object]:
    """Sets one value, found by its dotted keys."""

    def change(content: Any) -> None:
        *parents, last = at.split(".")
        for key in parents:
            content = content.setdefault(key, {})
        content[last] = value

    return change


def shard(model: Path, name: str) -> None:
    """Has an index name the weights, in place of the file itself."""
    (model / "model.safetensors").unlink()
    tensors = {"logit_scale": name}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": tensors}))


# -- which files -------------------------------------------------------------------------------------------------------
def test_an_index_that_names_a_pickle_reaches_no_unpickler(copy, tmp_path):
    """The pickle would make a file; it is not even opened."""
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    shard(copy, "pytorch_model.bin")
    assert "which is not .safetensors: other files are unpickled" in refused(copy)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../foreign/secret.safetensors", "{foreign}", "sub/secret.safetensors"])
def test_shards_are_names_of_files_in_the_folder(copy, foreign, opened, name):
    """A path is refused wherever it leads."""
    shard(copy, name.format(foreign=foreign))
    assert "must be one in the same folder, without a path" in refused(copy)
    assert [] == [each for each in opened if "secret" in each]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "preprocessor_config.json"])
def test_links_out_of_the_folder_are_not_followed(copy, foreign, opened, name):
    """Whatever they are called: neither for the digest nor for loading is what they lead to opened."""
    secret = foreign.with_name("secret")
    shutil.move(copy / name, secret)
    (copy / name).symlink_to(secret)
    assert "is a link out of its folder, and is not followed" in refused(copy)
    assert [] == [each for each in opened if "secret" in each]


def test_a_snapshot_of_the_hub_cache_is_taken_with_its_links(copy, clip):
    """They lead to blobs beside the snapshots; one that leads further is refused there, too."""
    cache = copy.parent / "models--some--model"
    blobs, snapshot = cache / "blobs", cache / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    shutil.move(copy, blobs)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    encoder = load_encoder(str(snapshot), device="cpu", dtype="float32")
    assert clip.space.fingerprint == encoder.space.fingerprint
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(cache.parent / "elsewhere.json")
    shutil.copy(blobs / "config.json", cache.parent / "elsewhere.json")
    assert "is a link out of its folder" in refused(snapshot)


def test_an_adapter_is_refused(copy):
    """It would have another model read, from wherever it says."""
    (copy / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../foreign"}))
    assert "it is an adapter" in refused(copy)


def test_what_lies_beside_a_model_is_not_read(copy, opened, clip):
    """Code, pickles, templates and files of other frameworks, however large."""
    for name in ("modeling.py", "pytorch_model.bin", "generation_config.json", "chat_template.jinja", "x.gguf"):
        (copy / name).write_text("raise SystemExit")
    opened.clear()
    encoder = load_encoder(str(copy), device="cpu", dtype="float32")
    beside = ("modeling.py", "pytorch_model.bin", "generation_config.json", "chat_template.jinja", "x.gguf")
    assert [] == [each for each in opened if each.endswith(beside) and "copy" in each]
    assert clip.space.revision == encoder.space.revision


# -- what configurations ask for ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        ("auto_map", {"AutoModel": "evil.Model"}, "bring their own code are refused"),
        ("attn_implementation", "kernels-community/flash-attn", "only sdpa and eager"),
        ("_attn_implementation", "flash_attention_2", "only sdpa and eager"),
        ("vision_config.attn_implementation", "some/kernel:fn", "only sdpa and eager"),
        ("attn_implementation", {"text_config": "some/kernel"}, "only sdpa and eager"),
        ("quantization_config", {"quant_method": "bitsandbytes"}, "it is quantised"),
        ("transformers_weights", "pytorch_model.bin", "it names a file for its weights"),
        ("vision_config.num_hidden_layers", 10**9, "more than the 256"),
        ("text_config.num_hidden_layers", 10**30, "more than the 256"),
        ("text_config.vocab_size", 10**9, "more than the 2,000,000"),
        ("text_config.vocab_size", 1_900_000, "its config.json asks for"),
        ("text_config.max_position_embeddings", 10**9, "more than the 32,768"),
        ("vision_config.hidden_size", 10**9, "more than the 32,768"),
        ("vision_config.hidden_size", 32_768, "its config.json asks for"),
        ("vision_config.image_size", 10**6, "more than the 2,048"),
        ("vision_config.patch_size", 0, "defines no valid model"),
        ("vision_config.hidden_size", -64, "defines no valid model"),
        ("vision_config.num_attention_heads", 0, "modulo by zero"),
        ("projection_dim", 1e300, "more than the 65,536"),
        ("vision_config.hidden_act", "os.system", "defines no valid model"),
        ("dtype", "load", "transformers has no built-in model"),
        ("vision_config", "not a map", "transformers has no built-in model"),
    ],
)
def test_a_configuration_asks_for_a_model_of_this_world(copy, at, value, says):
    """No code, no kernels, and no more memory than the weights take on the disk."""
    edit(copy / "config.json", put(at, value))
    assert says in refused(copy)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        ("crop_size", {"height": 10**9, "width": 10**9}, "must be from 0 to 2,048"),
        ("size", {"shortest_edge": 10**9}, "must be from 0 to 2,048"),
        ("size", {"shortest_edge": 0}, "does not take a picture"),
        ("image_mean", [0.5] * 100_000, "must be three numbers"),
        ("image_mean", ["x", "y", "z"], "must be three numbers"),
        ("image_std", [0, 0, 0], "above 0"),
        ("resample", 99, "must be a filter of Pillow's"),
        ("resample", "../x", "must be a filter of Pillow's"),
        ("rescale_factor", 1e300, "must be from 0 to 255"),
        ("auto_map", {"AutoImageProcessor": "evil.P"}, "bring their own code are refused"),
    ],
)
def test_pictures_are_prepared_as_pictures_are(copy, at, value, says):
    """Sides, channels and filters have bounds."""
    edit(copy / "preprocessor_config.json", put(at, value))
    assert says in refused(copy)


@pytest.mark.parametrize(
    ("file", "at", "value", "says"),
    [
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["evil.T", None]}, "bring their own code are refused"),
        ("tokenizer_config.json", "tokenizer_file", "/etc/passwd", "only files beside it are read"),
        ("tokenizer_config.json", "vocab_file", "../foreign/secret", "only files beside it are read"),
        ("tokenizer.json", "pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}}, "can take forever"),
        ("tokenizer.json", "normalizer", {"type": "Replace", "pattern": {"Regex": "x" * 9_999}}, "can take forever"),
    ],
)
def test_a_tokenizer_reads_what_is_beside_it(copy, file, at, value, says):
    """No code, no files of others, and no pattern that a text could stop a search with."""
    edit(copy / file, put(at, value))
    assert says in refused(copy)


def test_where_an_author_had_the_tokenizer_does_not_matter(copy, clip):
    """As in the files of openai/clip-vit-base-patch32."""
    edit(copy / "tokenizer_config.json", put("special_tokens_map_file", "/root/.cache/x/special_tokens_map.json"))
    edit(copy / "tokenizer_config.json", put("tokenizer_file", None))
    assert load_encoder(str(copy), device="cpu").space.dimension == clip.space.dimension


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "\0", '{"a": ' * 50 + "1" + "}" * 50, " " * (17 << 20)])
def test_json_that_is_none_is_refused(copy, name, content):
    """Too deep, too long, or something else."""
    (copy / name).write_text(content)
    assert name in refused(copy)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}",
        *(
            struct.pack("<Q", len(each)) + each
            for each in (
                b'{"a": {"dtype": "F32", "shape": [1000000000, 1000000000], "data_offsets": [0, 4]}}',
                b'{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 4]}}',
                b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4000000000000]}}',
                b'{"a": {"dtype": "F32"}}',
            )
        ),
    ],
)
def test_weights_are_as_long_as_their_header_says(copy, header):
    """Shapes that are not in the file are found out before memory is taken for them."""
    (copy / "model.safetensors").write_bytes(header + b"\0" * 8)
    refused(copy)


def test_shards_in_the_folder_are_loaded(copy, clip):
    """The usual layout of large models."""
    tensors = load_file(copy / "model.safetensors")
    halves = [dict(list(tensors.items())[::2]), dict(list(tensors.items())[1::2])]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, half in zip(names, halves, strict=True):
        save_file(half, copy / name, metadata={"format": "pt"})
    (copy / "model.safetensors").unlink()
    listed = {tensor: name for name, half in zip(names, halves, strict=True) for tensor in half}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    encoder = load_encoder(str(copy), device="cpu", dtype="float32")
    assert np.allclose(clip.encode_texts(["a dog"]), encoder.encode_texts(["a dog"]), atol=1e-5)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(a+)+$", True),
        ("(?:a*b?)*", True),
        ("((x{2,})y)+", True),
        (r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", False),
        (r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+", False),
        (r"\(a+\)+", False),
        ("[(a+)]+", False),
        ("(ab)+c*", False),
    ],
)
def test_repeated_repetitions_are_told_from_the_patterns_of_tokenizers(pattern, expected):
    """CLIP's and GPT-4's own pass."""
    assert expected == repeats_repetitions(pattern)
