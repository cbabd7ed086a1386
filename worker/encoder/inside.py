"""Reads a model's files by name: only inside its folder, and only up to plausible sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worker import safe_files
from worker.errors import ModelUnsupportedError
from worker.safe_files import NotConfinedError

#: Bytes. Configurations take kilobytes, the index of a hundred shards some more.
_LARGEST = 16 << 20


def found(path: Path, name: str) -> Path:
    """The path of a model's file, following links only inside its folder.

    The hub's cache has links from ``snapshots/COMMIT/NAME`` to ``blobs/``: there, inside is the folder of both.

    Raises:
        ModelUnsupportedError: it is a link that leads out, or is not the name of a file.
    """
    if not safe_files.is_plain(name):
        raise ModelUnsupportedError(f"{path} names a file {name!r}: it must be one in the same folder, without a path")
    try:
        return safe_files.inside(_root(path), path / name)
    except NotConfinedError as error:
        raise ModelUnsupportedError(f"{path / name}: {error}") from error


def read_json(path: Path, name: str, *, kind: str) -> dict[str, Any]:
    """A JSON file of a model.

    Args:
        path: the model's folder.
        name: of the file.
        kind: what it has to be, for the message: "not a model's configuration".

    Raises:
        ModelUnsupportedError: it is none, or none of a bounded size.
    """
    try:
        loaded = json.loads(safe_files.read(found(path, name), most=_LARGEST))
    except (NotConfinedError, OSError, ValueError, RecursionError) as error:
        raise ModelUnsupportedError(f"{path / name} {kind}; copy it again ({error})") from error
    if not isinstance(loaded, dict):
        raise ModelUnsupportedError(f"{path / name} {kind}; copy it again (it is not a map)")
    return loaded


def _root(path: Path) -> Path:
    """The folder that no link may leave."""
    whole = path.absolute()
    is_snapshot = whole.parent.name == "snapshots" and whole.parents[1].name.startswith("models--")
    return whole.parents[1] if is_snapshot else whole
