"""Several threads, one device: batches form by themselves, results find their way back, errors hit only the guilty."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.encoder.fake_encoder import GREY, WAIT, FakeDeviceEncoder, FakeEncoder, held, pixels, vector_of
from worker.encoder import Encoded, ForwardPass, MicroBatcher
from worker.errors import DeviceMemoryError, FatalDeviceError, ImageRejectedError
from worker.types import Reason

#: Every promise is kept whether launching computes or a device does.
KINDS: list[type[FakeEncoder]] = [FakeEncoder, FakeDeviceEncoder]


@pytest.fixture(params=KINDS, ids=["computes", "launches"])
def encoder(request) -> FakeEncoder:
    kind: type[FakeEncoder] = request.param
    return kind()


def values_of(results: list[Encoded]) -> list[int | str]:
    """The numbers behind the vectors; for errors, the name of their type."""
    table = np.stack([vector_of(value) for value in range(256)])
    return [type(r).__name__ if isinstance(r, Exception) else int(np.argmax(table @ r)) for r in results]


def test_results_come_back_in_order(encoder):
    """Each image gets its own vector, of unit length, whatever the batches were."""
    with MicroBatcher(encoder) as batcher:
        results = batcher.encode([pixels(v) for v in range(50)], timeout=WAIT)
    assert list(range(50)) == values_of(results)
    assert np.allclose(1.0, [np.linalg.norm(np.asarray(r)) for r in results])


def test_nothing_submitted_gives_nothing(encoder):
    """An empty submission is answered at once and costs no forward pass."""
    with MicroBatcher(encoder) as batcher:
        assert [] == batcher.encode([], timeout=WAIT)
    assert [] == encoder.passes


def test_submissions_queued_together_share_a_forward_pass(encoder):
    """Four submissions of two images that wait for the device become one pass of eight."""
    with MicroBatcher(encoder, max_batch=8) as batcher:
        first = held(encoder, batcher)
        futures = [batcher.submit([pixels(10 * n), pixels(10 * n + 1)]) for n in range(1, 5)]
        encoder.isolation_lock.set()
        assert [[10, 11], [20, 21], [30, 31], [40, 41]] == [values_of(f.result(WAIT)) for f in futures]
        first.result(WAIT)
    assert [[0], [10, 11, 20, 21, 30, 31, 40, 41]] == encoder.passes


def test_a_submission_larger_than_a_batch_is_cut(encoder):
    """Passes are filled across the borders of submissions and never exceed the batch."""
    with MicroBatcher(encoder, max_batch=4) as batcher:
        held(encoder, batcher)
        futures = [batcher.submit([pixels(v) for v in range(1, 7)]), batcher.submit([pixels(7)])]
        encoder.isolation_lock.set()
        assert [[1, 2, 3, 4, 5, 6], [7]] == [values_of(f.result(WAIT)) for f in futures]
    assert [[0], [1, 2, 3, 4], [5, 6, 7]] == encoder.passes


def test_an_idle_device_starts_at_once(encoder):
    """A single image does not wait for company."""
    with MicroBatcher(encoder, max_batch=8) as batcher:
        batcher.encode([pixels(5)], timeout=WAIT)
    assert [[5]] == encoder.passes


def test_many_threads_each_get_their_own(encoder):
    """Under concurrent submissions no result is swapped, lost or doubled."""
    with MicroBatcher(encoder, max_batch=7) as batcher, ThreadPoolExecutor(16) as pool:
        sizes = [n % 5 for n in range(100)]
        jobs = [pool.submit(batcher.encode, [pixels(n)] * size, timeout=WAIT) for n, size in enumerate(sizes)]
        expected = [[n] * size for n, size in enumerate(sizes)]
        assert expected == [values_of(job.result(WAIT)) for job in jobs]
    assert sum(sizes) == sum(len(batch) for batch in encoder.passes)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), max_size=8),
    cap=st.integers(1, 9),
    memory=st.integers(1, 12),
    bad=st.sets(st.integers(0, 95), max_size=4),
    kind=st.sampled_from(KINDS),
)
def test_any_sizes_any_culprits(sizes, cap, memory, bad, kind):
    """For any submissions, memory and bad images: good images get their vectors, bad ones their errors, in order."""
    encoder = kind(batch=16, memory=memory)
    encoder.failures = {value: ValueError("bad pixels") for value in bad}
    numbers = iter(range(96))
    submissions = [[next(numbers) for _ in range(size)] for size in sizes]
    with MicroBatcher(encoder, max_batch=cap) as batcher:
        futures = [batcher.submit([pixels(v) for v in values]) for values in submissions]
        results = [values_of(f.result(WAIT)) for f in futures]
    assert [["ImageRejectedError" if v in bad else v for v in values] for values in submissions] == results


def test_only_the_culprit_fails(encoder):
    """One image that the model cannot take costs its batch some extra passes and nobody else's vector."""
    encoder.failures = {5: ValueError("bad pixels")}
    with MicroBatcher(encoder, max_batch=8) as batcher:
        results = batcher.encode([pixels(v) for v in range(8)], timeout=WAIT)
    assert [0, 1, 2, 3, 4, "ImageRejectedError", 6, 7] == values_of(results)
    error = results[5]
    assert isinstance(error, ImageRejectedError)
    assert error.reason == Reason.ENCODER_REFUSED
    assert "the model fails on this image: bad pixels" == str(error)
    assert isinstance(error.__cause__, ValueError)
    assert [GREY] in encoder.passes


def test_an_image_without_a_direction_fails_alone(encoder):
    """A vector of NaN is an error of its image, found without splitting the batch."""
    encoder.nowhere = {2}
    with MicroBatcher(encoder) as batcher:
        results = batcher.encode([pixels(1), pixels(2), pixels(3)], timeout=WAIT)
    assert [1, "ImageRejectedError", 3] == values_of(results)
    assert encoder.passes == [[1, 2, 3], [GREY]]


@pytest.mark.parametrize("fault", ["raises", "gives NaN"])
def test_a_model_that_fails_on_everything_blames_no_image(encoder, fault):
    """When a plain grey picture fails too, the process has to end instead of quarantining the bucket."""
    if fault == "raises":
        encoder.failures = {value: RuntimeError("expected scalar type Half") for value in range(256)}
    else:
        encoder.nowhere = set(range(256))
    with MicroBatcher(encoder) as batcher, pytest.raises(FatalDeviceError, match="even on a plain grey picture"):
        batcher.encode([pixels(1), pixels(2)], timeout=WAIT)


def test_out_of_memory_halves_the_batch_for_good(encoder):
    """All images are encoded in smaller passes, and later batches start small."""
    encoder.memory = 3
    with MicroBatcher(encoder, max_batch=8) as batcher:
        results = batcher.encode([pixels(v) for v in range(8)], timeout=WAIT)
        assert list(range(8)) == values_of(results)
        assert 2 == batcher.max_batch
        encoder.passes.clear()
        batcher.encode([pixels(v) for v in range(8)], timeout=WAIT)
    assert [2, 2, 2, 2] == [len(batch) for batch in encoder.passes]
    assert encoder.released > 0


def test_no_memory_for_one_image_is_not_the_images_fault(encoder):
    """The image gets an error that means later, not quarantine, and the batcher goes on."""
    encoder.memory = 0
    with MicroBatcher(encoder) as batcher:
        results = batcher.encode([pixels(1), pixels(2)], timeout=WAIT)
        assert all(isinstance(r, DeviceMemoryError) for r in results)
        encoder.memory = 8
        assert [3] == values_of(batcher.encode([pixels(3)], timeout=WAIT))


def test_a_broken_device_tells_everyone(encoder):
    """Whoever is in the pass, whoever queues and whoever comes later gets FatalDeviceError."""
    encoder.failures = {0: RuntimeError("CUDA error: an illegal memory access was encountered")}
    with MicroBatcher(encoder) as batcher:
        in_flight = held(encoder, batcher)
        queued = [batcher.submit([pixels(1), pixels(2)]), batcher.submit([pixels(3)])]
        encoder.isolation_lock.set()
        for future in (in_flight, *queued):
            with pytest.raises(FatalDeviceError, match="illegal memory access"):
                future.result(WAIT)
        with pytest.raises(FatalDeviceError):
            batcher.submit([pixels(4)])
        assert batcher.broken is not None
    assert [[0]] == encoder.passes


def test_closing_finishes_what_is_queued(encoder):
    """close() waits for every accepted image; afterwards none is accepted. Closing twice is fine."""
    batcher = MicroBatcher(encoder, max_batch=2)
    held(encoder, batcher)
    queued = batcher.submit([pixels(v) for v in range(1, 6)])
    closer = threading.Thread(target=batcher.close)
    closer.start()
    encoder.isolation_lock.set()
    closer.join(WAIT)
    assert not closer.is_alive()
    assert [1, 2, 3, 4, 5] == values_of(queued.result(0))
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit([pixels(9)])
    batcher.close()


def test_a_full_line_holds_submitters_back(encoder):
    """Pixels in line and in passes are bounded: the next submitter waits, and gets TimeoutError if it will not."""
    one = pixels(1).nbytes
    with MicroBatcher(encoder, max_queued_bytes=3 * one) as batcher:
        held(encoder, batcher)
        batcher.submit([pixels(1), pixels(2)])
        with pytest.raises(TimeoutError, match="no room for 1 images"):
            batcher.submit([pixels(3)], timeout=0.05)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(batcher.encode, [pixels(5), pixels(6)], timeout=WAIT)
            encoder.isolation_lock.set()
            assert [5, 6] == values_of(waiting.result(WAIT))


def test_a_submission_larger_than_the_line_still_gets_in(encoder):
    """The bound never locks anybody out: an empty line takes any submission."""
    with MicroBatcher(encoder, max_queued_bytes=1) as batcher:
        assert [1, 2, 3] == values_of(batcher.encode([pixels(v) for v in (1, 2, 3)], timeout=WAIT))


def test_a_caller_that_gives_up_frees_the_device(encoder):
    """After a timeout the caller's queued images are not encoded."""
    with MicroBatcher(encoder) as batcher:
        held(encoder, batcher)
        with pytest.raises(TimeoutError):
            batcher.encode([pixels(1)], timeout=0.05)
        abandoned = batcher.submit([pixels(2)])
        assert abandoned.cancel()
        encoder.isolation_lock.set()
        assert [3] == values_of(batcher.encode([pixels(3)], timeout=WAIT))
        with pytest.raises(CancelledError):
            abandoned.result(WAIT)
    assert [[0], [3]] == encoder.passes


def test_an_observer_learns_about_passes(encoder):
    """Metrics see how full each pass was; failed passes are not counted."""
    seen: list[ForwardPass] = []
    encoder.memory = 2
    with MicroBatcher(encoder, max_batch=4, observe=seen.append) as batcher:
        batcher.encode([pixels(v) for v in range(4)], timeout=WAIT)
    assert [2, 2] == [forward.images for forward in seen]
    assert all(forward.seconds >= 0 for forward in seen)


def test_a_failure_of_the_thread_itself_strands_nobody(encoder):
    """Even an error nobody foresaw ends as FatalDeviceError for those who wait, not as silence."""

    def observe(_: ForwardPass) -> None:
        raise KeyError("a bug")

    with MicroBatcher(encoder, observe=observe) as batcher, pytest.raises(FatalDeviceError, match="a bug"):
        batcher.encode([pixels(1)], timeout=WAIT)


def test_the_batch_never_exceeds_the_encoders(encoder):
    """A larger max_batch would only hide several passes in one."""
    with MicroBatcher(encoder, max_batch=1000) as batcher:
        assert encoder.batch == batcher.max_batch
