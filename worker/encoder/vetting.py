"""Checks a model's files before transformers reads them: data only, inside their folder, of plausible sizes.

What transformers is then given is a folder of its own with links to what was looked at, and nothing else: whatever lies
beside it (pickles, adapters, code, templates) cannot be found.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from worker import safe_files
from worker.encoder import regexes, weights
from worker.encoder.inside import found, read_json
from worker.errors import ModelUnsupportedError

CONFIG = "config.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
TOKENIZER_OPTIONS = (
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
)
#: Would have other weights read: of a base model that it names, from wherever that is.
ADAPTER = "adapter_config.json"

#: Bytes. Gemma's tokenizer, which SigLIP 2 has, takes 34 MB.
_LARGEST_TABLE = 256 << 20
#: Of lists and maps in one another, in a configuration.
_DEEPEST = 12
#: Any number of a configuration: a vocabulary of a million is the largest there is, and 1e30 means "no limit".
_LARGEST_NUMBER = 10_000_000
#: By what a key of config.json has in it: the largest number that the widest models in use have, and some room.
_LARGEST = {
    "layers": 256, "depth": 256, "blocks": 256, "stages": 256, "heads": 1_024, "hidden_size": 32_768,
    "intermediate_size": 262_144, "projection": 65_536, "embed_dim": 65_536, "vocab_size": 2_000_000,
    "max_position_embeddings": 32_768, "num_patches": 16_384, "image_size": 2_048, "patch_size": 512,
    "channels": 65_536,
}  # fmt: skip
#: The same of a processor: pixels and patches.
_LARGEST_OF_PICTURES = {"size": 2_048, "patch": 16_384, "side": 2_048, "edge": 2_048, "factor": 255.0}
#: Attention that torch has. Other names have code fetched from the hub, or need packages that nobody asked for.
_ATTENTION = (None, "sdpa", "eager")

#: Keys that have other things done than reading numbers, and what to tell whoever meets them.
_REFUSED = {
    "auto_map": "it has code of its own run (auto_map). Models that bring their own code are refused; choose a CLIP or "
    "SigLIP model",
    "custom_pipelines": "it has code of its own run (custom_pipelines); choose a CLIP or SigLIP model",
    "quantization_config": "it is quantised, which takes packages and code beyond torch; use the model as it was "
    "before that",
    "transformers_weights": "it names a file for its weights; they are in model.safetensors, or in the files that "
    "model.safetensors.index.json lists",
}
NOT_A_CONFIGURATION = "is not a model's configuration"
_Refuse: TypeAlias = Callable[[str], ModelUnsupportedError]


@contextmanager
def vetted(path: Path) -> Iterator[Path]:
    """A folder with what of a model's files may be read, until the block ends. Nothing is copied but configurations.

    Raises:
        ModelUnsupportedError: names the file, what is wrong with it, and what to do.
    """
    with tempfile.TemporaryDirectory(prefix="enrich-model-") as name:
        folder = Path(name)
        for weights_name in weights.names(path):
            (folder / weights_name).symlink_to(found(path, weights_name))
        for file_name in (CONFIG, *PREPROCESSORS, *VOCABULARIES, *TOKENIZER_OPTIONS):
            if (path / file_name).exists():
                _admit(path, file_name, folder)
        yield folder


def refuse_adapters(path: Path) -> None:
    """Refuse an incomplete model."""
    if (path / ADAPTER).exists():
        raise ModelUnsupportedError(
            f"{path} has an {ADAPTER}: it is an adapter, whose base model would be read from wherever it says; merge "
            "the two (merge_and_unload) and save the result"
        )


def _admit(path: Path, name: str, folder: Path) -> None:
    """Link a file that is safe, or write a copy of its safe parts."""
    where = found(path, name)
    if not where.is_file() or where.stat().st_size > _LARGEST_TABLE:
        raise ModelUnsupportedError(f"{path / name}: not a file of at most {_LARGEST_TABLE:,} bytes; copy it again")

    def refuse(why: str) -> ModelUnsupportedError:
        return ModelUnsupportedError(f"{path / name}: {why}")

    if name == "tokenizer.json":
        regexes.check(where, refuse)
    if name in (CONFIG, *PREPROCESSORS, "tokenizer_config.json", "special_tokens_map.json"):
        content = read_json(path, name, kind=NOT_A_CONFIGURATION)
        _check_keys(content, refuse)
        _CHECKS.get(name, _no_more)(content, refuse)
        (folder / name).write_text(json.dumps(content))
    else:
        (folder / name).symlink_to(where)


def _no_more(_: Mapping[str, Any], __: _Refuse) -> None:
    pass


def _check_keys(content: Mapping[str, Any], refuse: _Refuse) -> None:
    for path, value in _walk(content, refuse):
        key = path[-1]
        if key in _REFUSED and value:
            raise refuse(_REFUSED[key])
        if "attn_implementation" in key or key.endswith("_implementation"):
            chosen = list(value.values()) if isinstance(value, dict) else [value]
            if any(each not in _ATTENTION for each in chosen):
                raise refuse(f"{key} is {value!r}; only sdpa and eager are torch's own: remove it")


def _check_config(content: Mapping[str, Any], refuse: _Refuse) -> None:
    for path, value in _numbers(content, refuse):
        most = next((most for part, most in _LARGEST.items() if any(part in key for key in path)), _LARGEST_NUMBER)
        if not abs(value) <= most:
            raise refuse(f"{'.'.join(path)} is {value}, more than the {most:,} that a model may have; copy it again")


def _check_pictures(content: Mapping[str, Any], refuse: _Refuse) -> None:
    for path, value in _numbers(content, refuse):
        most = next((most for part, most in _LARGEST_OF_PICTURES.items() if any(part in key for key in path)), 1e6)
        if not 0 <= value <= most:
            raise refuse(f"{'.'.join(path)} is {value}, but must be from 0 to {most:,}; copy it again")
    for where in (content, *(each for each in content.values() if isinstance(each, dict))):
        _check_channels(where, refuse)


def _check_channels(content: Mapping[str, Any], refuse: _Refuse) -> None:
    for key in ("image_mean", "image_std"):
        given = content.get(key)
        values = given if isinstance(given, list) else [given] if given is not None else []
        is_fit = len(values) in (0, 1, 3) and all(isinstance(each, (int, float)) for each in values)
        if not is_fit or (key == "image_std" and any(not each > 0 for each in values)):
            raise refuse(f"{key} must be three numbers, one for each colour{', above 0' * (key == 'image_std')}")
    if content.get("resample") not in (None, *range(6)):
        raise refuse(f"resample is {content['resample']!r}, but must be a filter of Pillow's, from 0 to 5")


def _check_tokenizer(content: dict[str, Any], refuse: _Refuse) -> None:
    """Files beside it are found by their names; old configurations say where their author had them, too."""
    for key in [key for key in content if key.endswith(("_file", "_files", "_path"))]:
        value = content.pop(key)
        if key not in ("special_tokens_map_file", "name_or_path") and isinstance(value, str):
            name = value.removeprefix("./")
            if not safe_files.is_plain(name):
                raise refuse(f"{key} is {value!r}: only files beside it are read; remove it")
    for path, value in _numbers(content, refuse):
        if not (abs(value) <= _LARGEST_NUMBER or "model_max_length" in path):
            raise refuse(f"{'.'.join(path)} is {value}; copy it again")


_CHECKS: dict[str, Callable[[dict[str, Any], _Refuse], None]] = {
    CONFIG: _check_config,
    **dict.fromkeys(PREPROCESSORS, _check_pictures),
    "tokenizer_config.json": _check_tokenizer,
    "special_tokens_map.json": _check_tokenizer,
}


def _walk(content: Mapping[str, Any], refuse: _Refuse) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with the keys it is under; entries of a list have those of the list."""
    waiting: list[tuple[tuple[str, ...], Any, int]] = [((key,), value, 1) for key, value in content.items()]
    while waiting:
        path, value, depth = waiting.pop()
        yield path, value
        if depth > _DEEPEST:
            raise refuse(f"{'.'.join(path[:3])} has more than {_DEEPEST} levels; copy it again")
        if isinstance(value, dict):
            waiting += [((*path, key), each, depth + 1) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(path, each, depth + 1) for each in value]


def _numbers(content: Mapping[str, Any], refuse: _Refuse) -> Iterator[tuple[tuple[str, ...], float]]:
    for path, value in _walk(content, refuse):
        if isinstance(value, float) and not math.isfinite(value):
            raise refuse(f"{'.'.join(path)} is not a number; copy it again")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield path, value
