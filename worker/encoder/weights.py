"""Checks the files of a model's weights: only safetensors, next to the index that lists them, of the stated lengths."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from worker.encoder.inside import found, read_json
from worker.errors import ModelUnsupportedError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SUFFIX = ".safetensors"
_MOST_FILES = 1_000
_LONGEST_HEADER = 16 << 20  # bytes; a model of 24 layers has 60 kB


def names(path: Path) -> list[str]:
    """What transformers would load: the single file if there is one, else the index and every shard that it lists.

    Raises:
        ModelUnsupportedError: a file is missing, is no safetensors, or is not in the folder.
    """
    if (path / SINGLE).exists():
        found(path, SINGLE)
        return [SINGLE]
    listed = read_json(path, INDEX, kind="does not list the weights' files").get("weight_map")
    shards = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    if not 0 < len(shards) <= _MOST_FILES:
        raise ModelUnsupportedError(f"{path / INDEX} does not list the weights' files; copy it again")
    for shard in shards:
        if not shard.endswith(_SUFFIX):
            raise ModelUnsupportedError(
                f"{path / INDEX} names {shard!r}, which is not {_SUFFIX}: other files are unpickled, which runs "
                "whatever code they hold"
            )
    if missing := [shard for shard in shards if not found(path, shard).is_file()]:
        raise ModelUnsupportedError(f"{path} lacks {', '.join(missing)}, which its index names; copy the model again")
    return [INDEX, *shards]


def elements(path: Path) -> int:
    """How many numbers the weights hold, by their headers.

    Raises:
        ModelUnsupportedError: a header is none, or its tensors are not in the file.
    """
    return sum(_elements(found(path, name)) for name in names(path) if name != INDEX)


def _elements(file: Path) -> int:
    try:
        return sum(math.prod(shape) for shape in _shapes(file))
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
        raise ModelUnsupportedError(
            f"{file} cannot be loaded (its header is damaged: {error}); copy or download the model again"
        ) from error


def _shapes(file: Path) -> list[list[int]]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):  # noqa: PLR2004  # "{}"
            raise ValueError(f"it would take {length:,} bytes")
        header: dict[str, dict[str, Any]] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return [_shape(name, each, size - 8 - length) for name, each in header.items()]


def _shape(name: str, tensor: dict[str, Any], room: int) -> list[int]:
    begin, end = tensor["data_offsets"]
    shape: list[int] = tensor["shape"]
    # Half a byte is the smallest number there is.
    is_there = 0 <= begin <= end <= room and all(type(side) is int and side >= 0 for side in shape)
    if not is_there or math.prod(shape) > 2 * (end - begin):
        raise ValueError(f"the tensor {name[:60]!r} is not in the file")
    return shape
