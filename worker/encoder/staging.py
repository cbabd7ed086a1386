"""Transfers pixels to a device and vectors back without making the device wait."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

import numpy as np
import torch

from worker.encoder.interface import Collect, Pixels

#: One is filled while the device fetches the other.
_BUFFERS = 2


class Copy(Protocol):
    """A copy that a device makes by itself. Of ``torch.cuda.Event``, what is needed of it."""

    def synchronize(self) -> None:
        """Wait until it has ended."""


class Link(Protocol):
    """Transfers to a device."""

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory that ``send`` can send from; slow to get."""

    def send(self, buffer: torch.Tensor) -> tuple[torch.Tensor, Copy | None]:
        """The same on the device, for whatever is computed next; and the copy, if it goes on behind our back."""


class DirectLink:
    """To devices that the processor copies to itself."""

    def __init__(self, device: str) -> None:
        self._device = device

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype)

    def send(self, buffer: torch.Tensor) -> tuple[torch.Tensor, Copy | None]:
        return buffer.to(self._device), None


class CudaLink:
    """To a GPU, which fetches from page-locked memory by itself.

    Copies have a stream of their own: on the stream of the computation, a batch would be fetched only once the batch
    before it has been computed.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def send(self, buffer: torch.Tensor) -> tuple[torch.Tensor, Copy | None]:
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            there = buffer.to(self._device, non_blocking=True)
            copied = _marked(self._stream)
        computing.wait_event(copied)
        # The allocator knows of the copying stream only. Told of the other, it reuses this memory after both.
        there.record_stream(computing)
        return there, copied


def link(device: str) -> Link:
    """The best way to a device, by torch's name for it."""
    return CudaLink(device) if device.startswith("cuda") else DirectLink(device)


def working_on(device: str) -> AbstractContextManager[Any]:
    """Has new streams, events and page-locked memory belong to this device; which one it is, each thread must say."""
    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


@dataclass(slots=True)
class _Slot:
    buffer: torch.Tensor | None = None
    copy: Copy | None = None  # out of the buffer


class Staging:
    """Stacks batches where the device can fetch them. Called by one thread at a time.

    Page-locked memory is slow to allocate, so two buffers are kept. They grow to the largest batch and are used in
    turns, each only after the device has fetched what was in it.
    """

    def __init__(self, way: Link) -> None:
        """Allocate nothing yet."""
        self._link = way
        self._slots = cycle([_Slot() for _ in range(_BUFFERS)])

    def __call__(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        """``[n, …]`` on the device, of ``n`` arrays of one shape and type."""
        slot = next(self._slots)
        if slot.copy is not None:
            slot.copy.synchronize()
        room = self._room(slot, len(pixels), pixels[0])
        np.stack(pixels, out=room.numpy())
        there, slot.copy = self._link.send(room)
        return there

    def _room(self, slot: _Slot, count: int, like: np.ndarray[Any, Any]) -> torch.Tensor:
        dtype = torch.from_numpy(like[:0]).dtype
        kept = slot.buffer
        if kept is None or kept.shape[0] < count or kept.shape[1:] != like.shape or kept.dtype != dtype:
            kept = slot.buffer = self._link.buffer((count, *like.shape), dtype)
        return kept[:count]


def fetch(vectors: torch.Tensor) -> Collect:
    """Begin to bring vectors to the processor, in float32, behind whatever computes them.

    What is computed next may overwrite ``vectors``: it runs after the copy.
    """
    rows = vectors.float()
    if not rows.is_cuda:
        found = rows.cpu().numpy()
        return lambda: found
    here = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    here.copy_(rows, non_blocking=True)
    copied = _marked(torch.cuda.current_stream(rows.device))

    def collect() -> np.ndarray[Any, Any]:
        copied.synchronize()
        return here.numpy()

    return collect


def _marked(stream: torch.cuda.Stream) -> torch.cuda.Event:
    """An event behind all that the stream has to do so far. Waiting for it sleeps: cores are for decoding."""
    event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    event.record(stream)
    return event
