"""Packages of peers that the project itself does not need: in a folder of their own, which only their process sees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.child import MissingPeerError

#: torch's release: torchvision's. Only its transforms are used, which are plain Python.
_TORCHVISION = {"2.13": "0.28.0", "2.12": "0.27.0", "2.11": "0.26.0", "2.10": "0.25.0", "2.9": "0.24.0"}
_FOLDER = "BENCH_PEERS"
_PACKAGES = ("open_clip_torch==3.3.0", "timm==1.0.31", "ftfy==6.3.1")


def install(folder: Path) -> None:
    """Put them there, once. What cannot be had is missed by the contender, which says so."""
    if (folder / "open_clip").is_dir():
        return
    release = ".".join(version("torch").split(".")[:2])
    wanted = [*_PACKAGES, f"torchvision=={_TORCHVISION[release]}" if release in _TORCHVISION else "torchvision"]
    print(f"… installing {' '.join(wanted)} into {folder}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *wanted]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def path(folder: Path) -> dict[str, str]:
    """The environment in which ``open_clip`` finds them. Not PYTHONPATH: transformers would take up torchvision."""
    return {_FOLDER: str(folder.resolve())}


def open_clip(
    bucket: str, keys: list[str], *, batch: int, opened: Callable[[Any, str, str], Any]
) -> tuple[Any, Callable[[Any], list[list[float]]]]:
    """A DataLoader over objects, with as many workers as there are cores, and ViT-B/32 of random weights.

    Raises:
        MissingPeerError: the packages are not here.
    """
    import torch

    module = _open_clip()
    model, _, transform = module.create_model_and_transforms("ViT-B-32", pretrained=None, precision="bf16")
    model.eval()
    objects: Any = _Objects(bucket, keys, transform, opened)  # what a DataLoader calls a map-style dataset
    loader: Any = torch.utils.data.DataLoader(
        objects,
        batch_size=batch,
        num_workers=len(os.sched_getaffinity(0)),
        persistent_workers=True,
        prefetch_factor=2,
    )

    def encode(pixels: Any) -> list[list[float]]:
        with torch.inference_mode():
            found = torch.nn.functional.normalize(model.encode_image(pixels.bfloat16()).float())
        vectors: list[list[float]] = found.tolist()
        return vectors

    return loader, encode


class _Objects:
    """What a DataLoader's workers do: fetch, decode at full size, transform. Each has a client of its own."""

    def __init__(self, bucket: str, keys: list[str], transform: Any, opened: Callable[[Any, str, str], Any]) -> None:
        self._bucket, self._keys, self._transform, self._opened = bucket, keys, transform, opened
        self._store: Any = None

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        from bench.site import bucket_client

        if self._store is None:
            self._store = bucket_client(dict(os.environ))
        key = self._keys[index]
        return key, self._transform(self._opened(self._store, self._bucket, key))


def _open_clip() -> Any:
    """Import it. torchvision's wheels may lack compiled operators for this torch; transforms do not use them."""
    import torch

    sys.path.append(os.environ.get(_FOLDER, ""))
    library: Any = torch.library
    register = library.register_fake
    library.register_fake = lambda *_, **__: lambda function: function
    try:
        import open_clip  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingPeerError(f"open_clip is not installed ({error}): it is left out") from error
    finally:
        library.register_fake = register
    return open_clip
