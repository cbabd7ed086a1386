"""Converted weights on disk, so that only the first start pays for the conversion.

The cache is a convenience and nothing else: an entry that is not exactly what was written is made anew, and where
nothing can be written the model still loads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from safetensors.torch import load, save
from torch import Tensor

from worker import logs

#: Weights by name.
State: TypeAlias = dict[str, Tensor]

_log = logs.get("encoder")
_DIGEST_HEX = 32  # 128 bits: enough against accidents, which is all a cache guards against


def directory() -> Path:
    """``$XDG_CACHE_HOME/image-enricher``, by default under ``~/.cache``; independent of ENRICH_HOME."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()
    return root / "image-enricher"


def cached(name: str, convert: Callable[[], State]) -> State:
    """The state called ``name``: from disk when an intact entry is there, else converted and stored.

    An entry's file name ends in the hash of its content; ``name`` must say everything the conversion depends on.
    """
    root = directory()
    state = _read(root, name)
    if state is None:
        state = {key: tensor.contiguous() for key, tensor in convert().items()}
        _write(root, name, save(state))
    return state


def _read(root: Path, name: str) -> State | None:
    with contextlib.suppress(OSError):
        for entry in sorted(root.glob(f"{name}.*.safetensors")):
            content = entry.read_bytes()
            if _file_name(name, content) == entry.name:
                return load(content)
            _log.warning("cached weights are damaged; converting them again", action="cache-damaged", entry=entry.name)
            entry.unlink()
    return None


def _write(root: Path, name: str, content: bytes) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        _replace(root / _file_name(name, content), content)
    except OSError as error:
        _log.warning(
            "the weights' cache cannot be written; set XDG_CACHE_HOME to a writable directory to start faster",
            action="cache-unwritable",
            reason=error.strerror or str(error),
        )


def _replace(entry: Path, content: bytes) -> None:
    """Write beside the entry, then rename: readers see all of it or none, writers do not meet."""
    with tempfile.NamedTemporaryFile(dir=entry.parent, prefix=".", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.close()
            temporary.replace(entry)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _file_name(name: str, content: bytes) -> str:
    return f"{name}.{hashlib.sha256(content).hexdigest()[:_DIGEST_HEX]}.safetensors"
