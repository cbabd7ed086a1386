"""A device that computes by itself has its next pass before it is done with one, and nobody waits for that."""

from __future__ import annotations

import weakref
from concurrent.futures import Future

import numpy as np
import pytest

from tests.unit.encoder.fake_encoder import WAIT, FakeDeviceEncoder, FakeEncoder, held, pixels, vector_of
from worker.encoder import Encoded, ForwardPass, MicroBatcher
from worker.errors import FatalDeviceError, ImageRejectedError


@pytest.fixture
def encoder() -> FakeDeviceEncoder:
    return FakeDeviceEncoder()


def queued(encoder: FakeEncoder, batcher: MicroBatcher, values: list[int]) -> list[Future[list[Encoded]]]:
    """One submission for each value, all in line before any is launched."""
    held(encoder, batcher)
    futures = [batcher.submit([pixels(value)]) for value in values]
    encoder.isolation_lock.set()
    return futures


def assert_vector(value: int, future: Future[list[Encoded]]) -> None:
    [found] = future.result(WAIT)
    assert isinstance(found, np.ndarray)
    assert np.allclose(vector_of(value), found)


def test_the_next_pass_is_launched_before_vectors_are_waited_for(encoder):
    """While something is in line, there are always two passes launched; vectors come back in order."""
    with MicroBatcher(encoder, max_batch=1) as batcher:
        for value, future in enumerate(queued(encoder, batcher, [1, 2, 3]), start=1):
            assert_vector(value, future)
    assert [
        ("launch", [0]), ("collect", [0]),
        ("launch", [1]), ("launch", [2]), ("collect", [1]),
        ("launch", [3]), ("collect", [2]), ("collect", [3]),
    ] == encoder.log  # fmt: skip


def test_where_launching_computes_vectors_are_delivered_first():
    """On a CPU a second launch would only keep the first one's vectors waiting."""
    encoder = FakeEncoder()
    delivered: list[list[int]] = []
    with MicroBatcher(encoder, max_batch=1) as batcher:
        held(encoder, batcher)
        for value in (1, 2):
            future = batcher.submit([pixels(value)])
            future.add_done_callback(lambda _, value=value: delivered.append([value, len(encoder.passes)]))  # type: ignore[misc]
        encoder.isolation_lock.set()
    assert [[1, 2], [2, 3]] == delivered


def test_a_single_image_is_collected_at_once(encoder):
    """With nothing in line, nothing is waited for but the pass itself."""
    with MicroBatcher(encoder) as batcher:
        for value in (1, 2):
            batcher.encode([pixels(value)], timeout=WAIT)
    assert [("launch", [1]), ("collect", [1]), ("launch", [2]), ("collect", [2])] == encoder.log


def test_a_launch_that_runs_out_of_memory_waits_for_the_pass_before_it(encoder):
    """That pass is delivered, its memory is free again, and only then are the halves tried; nothing else before."""
    encoder.launch_memory = 2
    with MicroBatcher(encoder, max_batch=4) as batcher:
        held(encoder, batcher)
        futures = [batcher.submit([pixels(v) for v in values]) for values in ([1, 2], [3, 4, 5, 6])]
        encoder.launch_memory = 3  # [1, 2, 3, 4] does not fit
        encoder.isolation_lock.set()
        assert [2, 4] == [len(future.result(WAIT)) for future in futures]
        assert 2 == batcher.max_batch
    assert [("launch", [1, 2, 3, 4]), ("launch", [5, 6]), ("collect", [5, 6])] == encoder.log[2:]
    assert [[0], [1, 2], [3, 4], [5, 6]] == encoder.passes
    assert 1 == encoder.released


def test_an_earlier_pass_is_delivered_before_a_failed_launch_is_answered(encoder):
    """The vectors of the pass that was launched before are not held up by halving another."""
    encoder.launch_failures = {2: ValueError("bad pixels")}
    encoder.failures = {2: ValueError("bad pixels")}
    with MicroBatcher(encoder, max_batch=1) as batcher:
        first, second, third = queued(encoder, batcher, [1, 2, 3])
        assert isinstance(second.result(WAIT)[0], ImageRejectedError)
        assert first.done()
        assert_vector(1, first)
        assert_vector(3, third)
    assert [
        ("launch", [1]), ("launch", [2]), ("collect", [1]), ("launch", [3]), ("collect", [3]),
    ] == encoder.log[2:]  # fmt: skip


def test_a_culprit_that_is_reported_late_is_still_found(encoder):
    """An error that only shows when vectors are waited for costs its own image, and not the pass launched behind."""
    encoder.failures = {2: ValueError("bad pixels")}
    with MicroBatcher(encoder, max_batch=2) as batcher:
        held(encoder, batcher)
        futures = [batcher.submit([pixels(v), pixels(v + 1)]) for v in (1, 3)]
        encoder.isolation_lock.set()
        good, bad = futures[0].result(WAIT)
        assert isinstance(good, np.ndarray)
        assert isinstance(bad, ImageRejectedError)
        assert all(isinstance(each, np.ndarray) for each in futures[1].result(WAIT))


@pytest.mark.parametrize("where", ["failures", "launch_failures"])
def test_a_broken_device_fails_what_was_launched_and_what_is_in_line(encoder, where):
    """Whichever pass is told of the broken device, everybody is."""
    setattr(encoder, where, {1: RuntimeError("CUDA error: unspecified launch failure")})
    with MicroBatcher(encoder, max_batch=1) as batcher:
        for future in queued(encoder, batcher, [1, 2, 3]):
            with pytest.raises(FatalDeviceError, match="unspecified launch failure"):
                future.result(WAIT)
        assert batcher.broken is not None


def test_passes_in_flight_count_as_queued(encoder):
    """Two passes and a line together stay within the bound."""
    one = pixels(1).nbytes
    with MicroBatcher(encoder, max_batch=1, max_queued_bytes=3 * one) as batcher:
        held(encoder, batcher)
        batcher.submit([pixels(1)])
        batcher.submit([pixels(2)])
        with pytest.raises(TimeoutError):
            batcher.submit([pixels(3)], timeout=0.05)
        encoder.isolation_lock.set()
        batcher.submit([pixels(4)], timeout=WAIT).result(WAIT)
        assert batcher._queued_bytes <= 3 * one


def test_room_is_given_back(encoder):
    """After any mixture of vectors, errors and cancelled images, nothing counts as queued."""
    encoder.failures = {1: ValueError("bad pixels")}
    batcher = MicroBatcher(encoder, max_batch=2)
    held(encoder, batcher)
    batcher.submit([pixels(v) for v in (1, 2, 3)])
    assert batcher.submit([pixels(4)]).cancel()
    encoder.isolation_lock.set()
    batcher.close()
    assert 0 == batcher._queued_bytes


def test_by_default_a_full_batch_can_wait_behind_full_passes():
    """However large the batch is that was asked for, the line never keeps the device from getting full ones."""
    encoder = FakeDeviceEncoder(batch=1 << 26)  # of 12 bytes each
    with MicroBatcher(encoder) as batcher:
        assert 3 * (12 << 26) == batcher._max_queued_bytes
    with MicroBatcher(FakeDeviceEncoder()) as batcher:
        assert 256 << 20 == batcher._max_queued_bytes


def test_closing_collects_what_was_launched(encoder):
    """close() waits for passes in flight too."""
    batcher = MicroBatcher(encoder, max_batch=1)
    futures = queued(encoder, batcher, [1, 2, 3])
    batcher.close()
    for value, future in enumerate(futures, start=1):
        assert_vector(value, future)


def test_a_failed_launch_keeps_nothing_of_its_pass(encoder):
    """The error waits for its turn without the frames it was raised in: their tensors would fill the device."""
    alive: list[weakref.ref[object]] = []

    class Tensor:
        pass

    def launch(_: object) -> None:
        tensor = Tensor()
        alive.append(weakref.ref(tensor))
        raise RuntimeError("CUDA out of memory")

    original = encoder._launch_features
    encoder._launch_features = launch
    seen: list[bool] = []
    encoder.release_memory = lambda: seen.append(alive[0]() is None)
    with MicroBatcher(encoder) as batcher:
        results = batcher.encode([pixels(1), pixels(2)], timeout=WAIT)
    encoder._launch_features = original
    assert [True] == seen
    assert all(isinstance(each, np.ndarray) for each in results)


def test_an_observer_learns_of_each_pass_once(encoder):
    """Passes that overlap are told one by one, with the time each took from its launch."""
    seen: list[ForwardPass] = []
    with MicroBatcher(encoder, max_batch=1, observe=seen.append) as batcher:
        for future in queued(encoder, batcher, [1, 2, 3]):
            future.result(WAIT)
    assert [1, 1, 1, 1] == [forward.images for forward in seen]
    assert all(forward.seconds > 0 for forward in seen)
