"""Micro-batching: one thread owns the device and builds full forward passes from what several callers have queued.

While a device computes one pass, the next is launched: stacked, copied and queued behind it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from PIL import Image

from worker import logs
from worker.encoder.failures import FailureKind, classify
from worker.encoder.interface import Encoder, Pending, Pixels
from worker.errors import DeviceMemoryError, FatalDeviceError, ImageRejectedError
from worker.types import Floats, Reason

_log = logs.get("encoder")

_QUEUED_BYTES = 256 << 20

#: The result for one image: its unit vector ``[dimension]``, or an error that concerns only this image.
#: ``ImageRejectedError``: the model fails on it, now and later. ``DeviceMemoryError``: try it again later.
Encoded: TypeAlias = "Floats | ImageRejectedError | DeviceMemoryError"


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardPass:
    """A successful forward pass, as reported to an observer."""

    images: int
    seconds: float  # from its launch until its vectors were there; passes may overlap


@dataclass(kw_only=True, slots=True, eq=False)
class _Submission:
    """One caller's images on their way to becoming one result."""

    future: Future[list[Encoded]]
    waiting: int  # images without a result yet
    results: dict[int, Encoded] = field(default_factory=dict)

    def settle(self, index: int, result: Encoded) -> None:
        self.results[index] = result
        self.waiting -= 1
        if self.waiting == 0:
            self.finish()

    def finish(self) -> None:
        try:
            self.future.set_result([self.results[index] for index in sorted(self.results)])
        except InvalidStateError:
            return  # the caller gave up waiting

    def fail(self, error: Exception) -> None:
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return  # it has its result, has failed already, or the caller gave up waiting


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Item:
    pixels: Pixels
    submission: _Submission
    index: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Flight:
    """A pass that was launched and not yet collected, or that failed at its launch."""

    items: Sequence[_Item]
    pending: Pending | Exception
    started: float  # time.perf_counter()

    @property
    def pixels(self) -> list[Pixels]:
        return [item.pixels for item in self.items]

    @property
    def failed(self) -> bool:
        return isinstance(self.pending, Exception)


class MicroBatcher:
    """Shares one encoder among threads.

    Images of all submissions stand in one line, first come first served. Whenever the device is free, as many as fit
    go into one forward pass; nobody waits for a batch to fill, so that a single image on an idle machine starts at
    once and batches grow by themselves under load.

    Where a device computes by itself (``Encoder.ahead``), the next batch is launched before the vectors of the one
    before are waited for, if anything is in line by then; if not, they are waited for and delivered at once.

    When a pass fails, at its launch or later: out of memory halves the batch, for good; a broken device ends everything
    with ``FatalDeviceError``; any other error splits the batch until the culprit is alone, and only the culprit fails.
    Before an image is blamed, a plain grey one is tried: if that fails too, the model is broken and not the image, and
    nobody's pictures end in quarantine.

    Callers may not assume that one submission is one forward pass, nor that submissions finish in order.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        max_batch: int | None = None,
        max_queued_bytes: int | None = None,
        observe: Callable[[ForwardPass], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            encoder: used for images by this thread only.
            max_batch: most images in one forward pass; by default, and at most, the encoder's.
            max_queued_bytes: pixels in line and in passes above which ``submit`` waits; by default 256 MiB, or what it
                takes to have a full batch in line behind full passes. One submission may always enter an empty line,
                however large it is and whatever is in passes.
            observe: called after each successful pass, in the batcher's thread; for metrics.
        """
        self._encoder = encoder
        self._cap = min(max_batch or encoder.batch, encoder.batch)
        self._observe = observe
        self._grey = _grey(encoder)
        enough = (encoder.ahead + 1) * self._cap * self._grey.nbytes
        self._max_queued_bytes = max(_QUEUED_BYTES, enough) if max_queued_bytes is None else max_queued_bytes
        self._line: deque[_Item] = deque()
        self._flights: deque[_Flight] = deque()  # the thread's own
        self._queued_bytes = 0  # of images without a result
        self._changed = threading.Condition()
        self._closed = False
        self._broken: FatalDeviceError | None = None
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def max_batch(self) -> int:
        """The current limit of images per forward pass: it shrinks when the device runs out of memory."""
        return self._cap

    @property
    def broken(self) -> FatalDeviceError | None:
        """Why nothing can be encoded any more, if so. The process should exit."""
        return self._broken

    def submit(self, pixels: Sequence[Pixels], *, timeout: float | None = None) -> Future[list[Encoded]]:
        """Queue images.

        Args:
            pixels: results of the encoder's ``preprocess``.
            timeout: seconds to wait for room in the line; None waits as long as it takes.

        Returns:
            A future of one result for each image, in order. It raises ``FatalDeviceError`` when the device breaks.
            Cancelling it takes images that are still in line out of it.

        Raises:
            FatalDeviceError: the device broke earlier.
            TimeoutError: there was no room in time.
            RuntimeError: the batcher is closed.
        """
        submission = _Submission(future=Future(), waiting=len(pixels))
        if not pixels:
            submission.finish()
            return submission.future
        size = sum(image.nbytes for image in pixels)
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(size), timeout):
                raise TimeoutError(f"the encoder's queue had no room for {len(pixels)} images within {timeout} s")
            self._refuse_if_over()
            self._queued_bytes += size
            self._line.extend(_Item(pixels=p, submission=submission, index=i) for i, p in enumerate(pixels))
            self._changed.notify_all()
        return submission.future

    def encode(self, pixels: Sequence[Pixels], *, timeout: float | None = None) -> list[Encoded]:
        """``submit`` and wait for the results.

        Raises:
            FatalDeviceError: the device is broken.
            TimeoutError: no result within ``timeout`` seconds; the images are given up.
            RuntimeError: the batcher is closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        future = self.submit(pixels, timeout=timeout)
        try:
            return future.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Accept no more images, finish queued ones, and end the thread. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _has_room(self, size: int) -> bool:
        over = self._closed or self._broken is not None
        return over or not self._line or self._queued_bytes + size <= self._max_queued_bytes

    def _refuse_if_over(self) -> None:
        if self._broken is not None:
            raise FatalDeviceError(str(self._broken)) from self._broken
        if self._closed:
            raise RuntimeError("the encoder is closed; no more images can be submitted")

    def _run(self) -> None:
        """The thread's loop: one pass after another until closed and drained, or broken."""
        try:
            while self._turn():
                pass
        except FatalDeviceError as error:
            self._break(error)
        except BaseException as error:  # noqa: BLE001 - nothing may end this thread while callers wait
            self._break(FatalDeviceError(f"the encoder's thread failed: {error!r}"))

    def _turn(self) -> bool:
        """Launch what is in line, if there is room ahead; else land the oldest pass. False: nothing is left to do."""
        if self._has_room_ahead():
            batch = self._next_batch(wait=not self._flights)
            if batch:
                self._flights.append(self._launched(batch))
                return True
            if not self._flights:
                return False
        self._land()
        return True

    def _has_room_ahead(self) -> bool:
        """A failed launch is answered before anything else is launched: it may have been too large."""
        return len(self._flights) < self._encoder.ahead and not any(flight.failed for flight in self._flights)

    def _next_batch(self, *, wait: bool) -> list[_Item]:
        """The images queued now; with ``wait``, empty only when closed and drained."""
        with self._changed:
            while True:
                if wait:
                    self._changed.wait_for(lambda: self._line or self._closed)
                taken = [self._line.popleft() for _ in range(min(self._cap, len(self._line)))]
                batch = [item for item in taken if not item.submission.future.cancelled()]
                self._leave([item for item in taken if item.submission.future.cancelled()])
                if batch or not wait or (self._closed and not self._line):
                    return batch

    def _launched(self, batch: Sequence[_Item]) -> _Flight:
        started = time.perf_counter()
        try:
            pending: Pending | Exception = self._encoder.launch_images([item.pixels for item in batch])
        except Exception as error:  # noqa: BLE001 - answered when its turn comes, by what it means
            # While a traceback lives, the failed pass's tensors do.
            pending = error.with_traceback(None)
        return _Flight(items=batch, pending=pending, started=started)

    def _land(self) -> None:
        """Results for the oldest pass, whatever happens to it. It is among the flights until they are delivered."""
        flight = self._flights[0]
        results = self._collected(flight)
        for item, result in zip(flight.items, results, strict=True):
            item.submission.settle(item.index, result)
        self._flights.popleft()
        with self._changed:
            self._leave(flight.items)

    def _leave(self, items: Sequence[_Item]) -> None:
        """Make room for other callers; call with the lock held."""
        self._queued_bytes -= sum(item.pixels.nbytes for item in items)
        self._changed.notify_all()

    def _break(self, error: FatalDeviceError) -> None:
        _log.error(str(error), action="encoder-broken")
        with self._changed:
            self._broken = error
            stranded = [*(item for flight in self._flights for item in flight.items), *self._line]
            self._flights.clear()
            self._line.clear()
            self._queued_bytes = 0
            self._changed.notify_all()
        for item in stranded:
            item.submission.fail(error)

    def _collected(self, flight: _Flight) -> list[Encoded]:
        if isinstance(flight.pending, Exception):
            return self._recover(flight.pixels, classify(flight.pending), flight.pending)
        return self._answered(flight.pixels, flight.pending.vectors, flight.started)

    def _encode(self, pixels: Sequence[Pixels]) -> list[Encoded]:
        """Results for one batch, in a pass that nothing is launched behind."""
        return self._answered(pixels, lambda: self._encoder.encode_images(pixels), time.perf_counter())

    def _answered(self, pixels: Sequence[Pixels], vectors: Callable[[], Floats], started: float) -> list[Encoded]:
        """Results for one batch, whatever happens to it."""
        try:
            found = vectors()
        except Exception as error:  # noqa: BLE001 - classified here, and answered by what it means
            failure, cause = classify(error), error
        else:
            self._report(len(pixels), time.perf_counter() - started)
            return [self._checked(vector) for vector in found]
        # Outside the handler: while it is open, the traceback keeps the failed pass's tensors in memory.
        return self._recover(pixels, failure, cause.with_traceback(None))

    def _report(self, images: int, seconds: float) -> None:
        if self._observe is not None:
            self._observe(ForwardPass(images=images, seconds=seconds))

    def _recover(self, pixels: Sequence[Pixels], failure: FailureKind, cause: Exception) -> list[Encoded]:
        """Split a failed batch in halves; for a single image, return its error."""
        if failure is FailureKind.FATAL:
            raise FatalDeviceError(f"{self._encoder.purpose}: the device is broken: {cause}") from cause
        if failure is FailureKind.OUT_OF_MEMORY:
            self._shrink(len(pixels))
        if len(pixels) > 1:
            middle = len(pixels) // 2
            return self._encode(pixels[:middle]) + self._encode(pixels[middle:])
        if failure is FailureKind.OUT_OF_MEMORY:
            return [DeviceMemoryError(f"{self._encoder.purpose} has no memory for a single image: {cause}")]
        return [self._blamed(f"the model fails on this image: {cause}", cause)]

    def _shrink(self, failed: int) -> None:
        self._encoder.release_memory()
        if failed > 1:
            self._cap = min(self._cap, failed // 2)
            _log.warning(
                f"out of memory with {failed} images in a batch; continuing with {self._cap}. Set ENRICH_ENCODER_BATCH",
                action="encoder-batch-halved",
                max_batch=self._cap,
            )

    def _checked(self, vector: Floats) -> Encoded:
        if np.isfinite(vector).all():
            return vector
        return self._blamed("the model gives no finite vector for this image", None)

    def _blamed(self, message: str, cause: Exception | None) -> ImageRejectedError:
        """The image's own error, unless the model fails on any image at all."""
        if not self._works():
            raise FatalDeviceError(
                f"{self._encoder.purpose} fails even on a plain grey picture ({message}). If this happens again "
                "after a restart, set ENRICH_DTYPE=float32 and check the model's files"
            ) from cause
        error = ImageRejectedError(Reason.ENCODER_REFUSED, message)
        error.__cause__ = cause
        return error

    def _works(self) -> bool:
        try:
            return bool(np.isfinite(self._encoder.encode_images([self._grey])).all())
        except Exception as error:  # noqa: BLE001 - whatever it is, the model does not work
            return classify(error) is FailureKind.OUT_OF_MEMORY


def _grey(encoder: Encoder) -> Pixels:
    """A plain picture, on which no working model fails."""
    return encoder.preprocess(Image.new("RGB", (encoder.input_side, encoder.input_side), (128, 128, 128)))
