"""Extract the frozen backbone's features from a folder of pictures.

    python -m training.features PHOTOS OUT.npz

Writes ``f`` (n, 1280) pooled and ``s`` (n, 608) statistics in float16 and ``files``, paths relative to the folder: the
format of the shared feature sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from worker.encoder.interface import Pixels
from worker.encoder.starter.model import StarterEncoder, load
from worker.types import Floats

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_BATCH = 64
#: JPEGs are decoded at the smallest scale whose shorter side is at least this, twice the backbone's input.
_DRAFT = 448


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSet:
    """What the backbone says about a set of pictures."""

    pooled: Floats  # (n, 1280)
    statistics: Floats  # (n, 608)
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


def read(path: Path) -> FeatureSet:
    """A stored feature set, in float32."""
    stored = arrays(path)
    return FeatureSet(
        pooled=stored["f"].astype(np.float32),
        statistics=stored["s"].astype(np.float32),
        files=tuple(stored["files"].tolist()),
    )


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Everything in an .npz file; no pickles."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def write(features: FeatureSet, path: Path) -> None:
    """Store in float16, which is all the precision the features have."""
    pooled, statistics = features.pooled.astype(np.float16), features.statistics.astype(np.float16)
    np.savez(path, f=pooled, s=statistics, files=np.array(features.files))


def extract(folder: Path) -> FeatureSet:
    """The features of every picture below a folder, in order of path."""
    return from_files(sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES), folder)


def from_files(paths: Sequence[Path], folder: Path) -> FeatureSet:
    """The features of these pictures; ``files`` are their paths relative to ``folder``."""
    encoder = load(dtype="float32")
    batches = [encoder.backbone_features([_pixels(encoder, path) for path in part]) for part in _parts(paths)]
    return FeatureSet(
        pooled=torch.cat([batch.pooled for batch in batches]).numpy(),
        statistics=torch.cat([batch.statistics for batch in batches]).numpy(),
        files=tuple(path.relative_to(folder).as_posix() for path in paths),
    )


def _parts(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH))


def _pixels(encoder: StarterEncoder, path: Path) -> Pixels:
    with Image.open(path) as image:
        image.draft("RGB", (_DRAFT, _DRAFT))
        return encoder.preprocess(image)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.features", description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, help="folder, searched recursively")
    parser.add_argument("out", type=Path, help="feature set to write, .npz")
    arguments = parser.parse_args()
    write(extract(arguments.photos), arguments.out)


if __name__ == "__main__":
    main()
