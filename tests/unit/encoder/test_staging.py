"""Batches on their way to a device; torch's "meta" device stands for one that is not here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worker.encoder.staging import Staging


def batch(count: int, side: int = 4, dtype: type = np.uint8) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    return [random.integers(0, 256, (3, side, side)).astype(dtype) for _ in range(count)]


def buffer_of(staging: Staging) -> torch.Tensor:
    assert staging._buffer is not None
    return staging._buffer


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_batch_arrives_as_it_was(dtype):
    """Same values, same type, in order."""
    pixels = batch(5, dtype=dtype)
    assert np.array_equal(np.stack(pixels), Staging("cpu")(pixels).numpy())


def test_memory_is_allocated_for_the_largest_batch_only():
    """Smaller batches use a part of it; other shapes and types get their own."""
    staging = Staging("meta")
    staging(batch(8))
    largest = buffer_of(staging)
    staging(batch(3))
    assert buffer_of(staging) is largest
    staging(batch(3, dtype=np.float32))
    assert torch.float32 == buffer_of(staging).dtype
    staging(batch(9, side=6))
    assert (9, 3, 6, 6) == tuple(buffer_of(staging).shape)


def test_what_is_staged_is_the_newest_batch():
    """A buffer that is used again holds nothing of the batch before."""
    staging = Staging("meta")
    staging(batch(4))
    pixels = batch(2)
    staging(pixels)
    assert np.array_equal(np.stack(pixels), buffer_of(staging)[:2].numpy())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_fetches_from_page_locked_memory():
    """The copy does not hold up the processor, and arrives complete."""
    staging, pixels = Staging("cuda:0"), batch(64, side=224)
    found = staging(pixels)
    assert buffer_of(staging).is_pinned()
    assert np.array_equal(np.stack(pixels), found.cpu().numpy())
