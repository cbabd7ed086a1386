"""Batches shared out among threads: the same vectors in the same order, and errors only when all is still."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from worker.encoder import load_encoder
from worker.encoder.interface import Pixels
from worker.encoder.thread_shards import ThreadShards
from worker.types import Floats


@pytest.fixture(autouse=True)
def _four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def numbered(count: int) -> list[Pixels]:
    return [np.full((3, 2, 2), number, dtype=np.uint8) for number in range(count)]


class Recorder:
    """Work that gives each image's number, and keeps who did it."""

    def __init__(self) -> None:
        self.lanes: dict[int, int] = {}  # images, by lane
        self.torch_threads: set[int] = set()
        self.workers: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, lane: int, pixels: Sequence[Pixels]) -> Floats:
        with self._lock:
            self.lanes[lane] = len(pixels)
            self.torch_threads.add(torch.get_num_threads())
            self.workers.add(threading.current_thread().name)
        return np.array([[float(image[0, 0, 0])] for image in pixels], dtype=np.float32)


@pytest.mark.parametrize("count", [1, 7, 8, 13, 16, 31, 32, 40])
def test_vectors_come_in_order_whatever_the_size_of_the_batch(count):
    """Nobody could tell from the answer that there were lanes."""
    found = ThreadShards(batch=32)(Recorder(), numbered(count))
    assert [float(number) for number in range(count)] == found[:, 0].tolist()


def test_a_full_batch_is_shared_out_evenly():
    """Every lane gets as much as any other, so that none is waited for."""
    work = Recorder()
    ThreadShards(batch=32)(work, numbered(32))
    assert {0: 8, 1: 8, 2: 8, 3: 8} == work.lanes
    assert "MainThread" not in work.workers


def test_lanes_share_the_threads_that_torch_had():
    """Four threads and batches of 16: two lanes of two threads each."""
    lanes, work = ThreadShards(batch=16), Recorder()
    lanes(work, numbered(16))
    assert (2, {2}) == (lanes.count, work.torch_threads)


def test_a_small_batch_is_done_at_once_by_the_thread_that_brings_it():
    """A single picture is ready sooner with all of torch's threads than with one."""
    work = Recorder()
    ThreadShards(batch=32)(work, numbered(3))
    assert ({0: 3}, {"MainThread"}, {4}) == (work.lanes, work.workers, work.torch_threads)


def test_nobody_else_loses_threads():
    """Neither who starts lanes nor a thread that comes later, such as one that encodes texts."""
    ThreadShards(batch=32)
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (4, [4]) == (torch.get_num_threads(), later)


def test_one_thread_is_one_lane():
    """Where there is nothing to share out, nothing is started."""
    torch.set_num_threads(1)
    lanes, work = ThreadShards(batch=32), Recorder()
    lanes(work, numbered(32))
    assert (1, None, {0: 32}) == (lanes.count, lanes._pool, work.lanes)


def test_an_error_is_raised_once_all_lanes_are_still():
    """Whoever halves the batch then does not work beside what is left of the first attempt."""
    slow_ended = threading.Event()

    def work(lane: int, pixels: Sequence[Pixels]) -> Floats:
        if lane == 0:
            raise MemoryError("lane 0")
        threading.Event().wait(0.2)
        slow_ended.set()
        return np.zeros((len(pixels), 1), dtype=np.float32)

    with pytest.raises(MemoryError, match="lane 0"):
        ThreadShards(batch=32)(work, numbered(32))
    assert slow_ended.is_set()


def test_lanes_end_with_the_encoder_that_had_them():
    """Models are loaded and unloaded while a worker runs; their threads are not left behind."""
    lanes = ThreadShards(batch=32)
    assert lanes._pool is not None
    threads = list(lanes._pool._threads)
    alive = [thread.is_alive() for thread in threads]
    del lanes
    for thread in threads:
        thread.join(10)
    assert ([True] * 4, [False] * 4) == (alive, [thread.is_alive() for thread in threads])


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=pytest.mark.slow)])
def test_a_model_gives_the_vectors_of_single_pictures(clip_dir, runtime):
    """A batch that was shared out, beside its pictures one by one."""
    if runtime == "openvino":
        pytest.importorskip("openvino")
    encoder = load_encoder(str(clip_dir), device="cpu", dtype="float32", batch=32, runtime=runtime)
    random = np.random.default_rng(3)
    pictures = [Image.fromarray(random.integers(0, 256, (70, 90, 3), dtype=np.uint8)) for _ in range(32)]
    pixels = [encoder.preprocess(picture) for picture in pictures]
    alone = np.concatenate([encoder.encode_images([each]) for each in pixels])
    assert np.abs(encoder.encode_images(pixels) - alone).max() < 1e-5
