"""Pixels on their way to a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worker.encoder.interface import Pixels


class Staging:
    """Stacks a batch where the device can fetch it by itself.

    From page-locked memory a GPU copies while the processor goes on. It is slow to allocate, so one buffer is kept and
    grows to the largest batch. Called by one thread at a time; a batch must have reached the device when the next one
    is staged, which reading its vectors ensures.
    """

    def __init__(self, device: str, *, page_locked: bool | None = None) -> None:
        """Allocate nothing yet.

        Args:
            device: torch's name.
            page_locked: None: where the device is a CUDA one.
        """
        self._device = device
        self._page_locked = device.startswith("cuda") if page_locked is None else page_locked
        self._buffer: torch.Tensor | None = None

    def __call__(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        """``[n, …]`` on the device, of ``n`` arrays of one shape and type."""
        if self._device == "cpu":
            return torch.from_numpy(np.stack(pixels))
        room = self._room(len(pixels), pixels[0])
        np.stack(pixels, out=room.numpy())
        return room.to(self._device, non_blocking=self._page_locked)

    def _room(self, count: int, like: np.ndarray[Any, Any]) -> torch.Tensor:
        dtype = torch.from_numpy(like[:0]).dtype
        kept = self._buffer
        if kept is None or kept.shape[0] < count or kept.shape[1:] != like.shape or kept.dtype != dtype:
            kept = torch.empty((count, *like.shape), dtype=dtype, pin_memory=self._page_locked)
            self._buffer = kept
        return kept[:count]
