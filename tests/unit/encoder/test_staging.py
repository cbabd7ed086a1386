"""Batches on their way to a device that fetches them by itself, and later than anybody looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.encoder.staging import Copy, CudaLink, DirectLink, Staging, fetch, link, working_on
from worker.encoder.tower import normalised


def batch(count: int, side: int = 4, dtype: type = np.uint8, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng([count, side, seed])
    return [random.integers(0, 256, (3, side, side)).astype(dtype) for _ in range(count)]


class LateCopy:
    """Reads its buffer no sooner than it is waited for, or the device needs it."""

    def __init__(self, buffer: torch.Tensor, there: torch.Tensor) -> None:
        self._buffer: torch.Tensor | None = buffer
        self._there = there

    def synchronize(self) -> None:
        if self._buffer is not None:
            self._there.copy_(self._buffer)
            self._buffer = None


class LateLink:
    """As a GPU's, but as slow as it may be."""

    def __init__(self) -> None:
        self.buffers: list[torch.Tensor] = []
        self.copies: list[LateCopy] = []

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        self.buffers.append(torch.empty(shape, dtype=dtype))
        return self.buffers[-1]

    def send(self, buffer: torch.Tensor) -> tuple[torch.Tensor, Copy | None]:
        there = torch.empty(buffer.shape, dtype=buffer.dtype)
        self.copies.append(LateCopy(buffer, there))
        return there, self.copies[-1]

    def catch_up(self) -> None:
        for copy in self.copies:
            copy.synchronize()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_batch_arrives_as_it_was(dtype):
    """Same values, same type, in order."""
    pixels = batch(5, dtype=dtype)
    assert np.array_equal(np.stack(pixels), Staging(DirectLink("cpu"))(pixels).numpy())


@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.sampled_from([2, 4])), min_size=1, max_size=12))
def test_a_buffer_is_not_refilled_before_it_was_fetched(sizes):
    """However late the device fetches, each batch arrives as it was."""
    way = LateLink()
    staging = Staging(way)
    batches = [batch(count, side, seed=number) for number, (count, side) in enumerate(sizes)]
    there = [staging(pixels) for pixels in batches]
    way.catch_up()
    for pixels, found in zip(batches, there, strict=True):
        assert np.array_equal(np.stack(pixels), found.numpy())


def test_two_buffers_are_used_in_turns():
    """The second is filled while the first is being fetched; a third batch waits for the first one's copy only."""
    way = LateLink()
    staging = Staging(way)
    staging(batch(4))
    staging(batch(4))
    assert 2 == len(way.buffers)
    assert [True, True] == [copy._buffer is not None for copy in way.copies]
    staging(batch(4))
    assert 2 == len(way.buffers)
    assert [False, True, True] == [copy._buffer is not None for copy in way.copies]


def test_memory_is_allocated_for_the_largest_batch_only():
    """Smaller batches use a part of it; other shapes and types get their own."""
    way = LateLink()
    staging = Staging(way)
    for pixels in (batch(8), batch(8), batch(3), batch(5)):
        staging(pixels)
    assert [(8, 3, 4, 4)] * 2 == [tuple(buffer.shape) for buffer in way.buffers]
    staging(batch(3, dtype=np.float32))
    assert torch.float32 == way.buffers[-1].dtype
    staging(batch(9, side=6))
    assert (9, 3, 6, 6) == tuple(way.buffers[-1].shape)


def test_a_send_that_fails_leaves_the_buffers_usable():
    """Out of memory on the device costs this batch only."""
    way = LateLink()
    staging, send = Staging(way), way.send

    def fail(_: torch.Tensor) -> tuple[torch.Tensor, Copy | None]:
        raise RuntimeError("CUDA out of memory")

    way.send = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError):
        staging(batch(4))
    way.send = send  # type: ignore[method-assign]
    there = [staging(batch(4, seed=seed)) for seed in (1, 2, 3)]
    way.catch_up()
    assert all(np.array_equal(np.stack(batch(4, seed=n)), found.numpy()) for n, found in enumerate(there, start=1))


def test_vectors_come_back_in_float32():
    """Whatever the device computes in."""
    rows = torch.tensor([[1.5, -2.0], [0.25, 3.0]], dtype=torch.bfloat16)
    found = fetch(rows)()
    assert np.float32 == found.dtype
    assert [[1.5, -2.0], [0.25, 3.0]] == found.tolist()


def test_a_cpu_needs_no_page_locked_memory():
    """Only CUDA devices get a link of their own."""
    assert isinstance(link("cpu"), DirectLink)
    with working_on("cpu"):
        assert not link("cpu").buffer((2, 3), torch.uint8).is_pinned()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_normalising_is_factor_and_offset(dtype):
    """Computed in float32 and rounded once; the fused form that GPUs take differs by no more than that rounding."""
    values = torch.from_numpy(np.stack(batch(3, side=8)))
    factor, offset = torch.rand(1, 3, 1, 1) / 64, -torch.rand(1, 3, 1, 1)
    expected = (values.double() * factor.double() + offset.double()).to(dtype)
    found = normalised(values, factor, offset, dtype)
    fused = torch.addcmul(offset, values, factor, out=torch.empty_like(values, dtype=dtype))
    assert dtype == found.dtype
    step = torch.finfo(dtype).eps * 4
    assert torch.allclose(expected.float(), found.float(), rtol=step, atol=step)
    assert torch.allclose(found.float(), fused.float(), rtol=step, atol=step)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_fetches_from_page_locked_memory():
    """Copies do not hold up the processor, and arrive complete, however fast the buffers are refilled."""
    staging = Staging(link("cuda:0"))
    assert isinstance(staging._link, CudaLink)
    assert staging._link.buffer((4,), torch.uint8).is_pinned()
    batches = [batch(64, side=224, seed=seed) for seed in range(12)]
    there = [staging(pixels) for pixels in batches]
    for pixels, found in zip(batches, there, strict=True):
        assert np.array_equal(np.stack(pixels), found.cpu().numpy())
