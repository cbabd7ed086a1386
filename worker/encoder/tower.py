"""Image towers: plain torch here, compiled ones in the modules next to this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from worker.encoder.device import Placement
from worker.encoder.interface import Collect, Pixels
from worker.encoder.preprocessing import Preprocessor
from worker.encoder.staging import Staging, fetch, link, working_on
from worker.encoder.thread_shards import ThreadShards


class ImageTower(Protocol):
    """Pixels in, vectors out; launched by one thread at a time."""

    def launch(self, pixels: Sequence[Pixels]) -> Collect:
        """Begin one forward pass on preprocessed images."""


class TorchTower:
    """Runs layer by layer, in batches of any size, for every model."""

    def __init__(self, model: Any, preprocessor: Preprocessor, placement: Placement) -> None:
        """Take a model that is in its place already."""
        self._model = model
        self._device = placement.device
        self._dtype = getattr(torch, placement.dtype)
        self._max_patches = preprocessor.max_patches
        self._staging, self._masks = (Staging(link(placement.device)) for _ in range(2))
        self._norm: tuple[torch.Tensor, torch.Tensor] | None = None
        if (norm := preprocessor.normalisation) is not None:
            factor, offset = (torch.from_numpy(each).view(1, 3, 1, 1) for each in (norm.factor, norm.offset))
            self._norm = factor.to(self._device), offset.to(self._device)

    def launch(self, pixels: Sequence[Pixels]) -> Collect:
        with working_on(self._device), torch.inference_mode():
            return fetch(pooled(self._model.get_image_features(**self._inputs(pixels))))

    def _inputs(self, pixels: Sequence[Pixels]) -> dict[str, torch.Tensor]:
        if self._max_patches is not None:
            return self._patches(pixels, self._max_patches)
        values = self._staging(pixels)
        if self._norm is None:
            return {"pixel_values": values.to(self._dtype)}
        return {"pixel_values": normalised(values, *self._norm, self._dtype)}

    def _patches(self, pixels: Sequence[Pixels], longest: int) -> dict[str, torch.Tensor]:
        """SigLIP 2 NaFlex: each picture has its own grid of patches, padded to a common count and masked."""
        values = np.zeros((len(pixels), longest, pixels[0].shape[2]), dtype=np.float32)
        mask = np.zeros((len(pixels), longest), dtype=np.int32)
        for index, grid in enumerate(pixels):
            count = grid.shape[0] * grid.shape[1]
            values[index, :count] = grid.reshape(count, -1)
            mask[index, :count] = 1
        shapes = np.array([grid.shape[:2] for grid in pixels], dtype=np.int64)
        return {
            "pixel_values": self._staging(list(values)).to(self._dtype),
            "pixel_attention_mask": self._masks(list(mask)),
            # Stays here: the model reads it number by number, and would wait for the device at each.
            "spatial_shapes": torch.from_numpy(shapes),
        }


class ShardedTower:
    """Towers of one model, on a CPU, side by side."""

    def __init__(self, towers: Sequence[ImageTower], lanes: ThreadShards) -> None:
        """Take a tower for each lane."""
        self._towers = towers
        self._lanes = lanes

    def launch(self, pixels: Sequence[Pixels]) -> Collect:
        vectors = self._lanes(lambda lane, part: self._towers[lane].launch(part)(), pixels)
        return lambda: vectors


def torch_tower(model: Any, preprocessor: Preprocessor, placement: Placement, *, batch: int) -> ImageTower:
    """What runs a model that is in its place already, in batches of at most ``batch``, with all that is there."""
    if placement.device != "cpu":
        return TorchTower(model, preprocessor, placement)
    lanes = ThreadShards(batch=batch)
    return ShardedTower([TorchTower(model, preprocessor, placement) for _ in range(lanes.count)], lanes)


def normalised(values: torch.Tensor, factor: torch.Tensor, offset: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``values * factor + offset``, computed in float32.

    On a GPU, where memory is what such a step costs, in one go from bytes to ``dtype``; on a CPU, mixed types are
    copied first, and it is quicker in place.
    """
    if values.is_cuda:
        return torch.addcmul(offset, values, factor, out=torch.empty_like(values, dtype=dtype))
    return values.float().mul_(factor).add_(offset).to(dtype)


def pooled(output: Any) -> torch.Tensor:
    """One vector per item. transformers returns a tensor before 5.0 and an output object since."""
    vectors: torch.Tensor = getattr(output, "pooler_output", output)
    return vectors
