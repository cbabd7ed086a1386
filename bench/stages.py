"""The encoder by itself, as the worker's one thread drives it: by size of batch, and where a batch's time goes.

python -m bench.stages RUNTIME SECONDS BATCH…          (ENRICH_* variables say which model; a line on stdin is a turn)
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from bench import child
from worker import bootstrap, settings
from worker.encoder import Encoder, Pixels
from worker.errors import ConfigurationError

#: Dense bfloat16 in TFLOP/s, by words of the device's name, the first that fit (NVIDIA's data sheets; theirs with
#: sparsity are twice this).
_PEAKS = {
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "A100": 312,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
}
#: A batch's time on a GPU, by what is in the names of its kernels; all others are the encoder's.
_KERNELS = {"copying to the device": "HtoD", "copying back": "DtoH", "normalising": "addcmul"}
_ENCODER, _IDLE = "encoding", "idle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Something that the device did. Times in µs."""

    name: str
    start: float
    end: float


def peak(device: str) -> float | None:
    """TFLOP/s in bfloat16 of a device of that name; None: not known."""
    return next((float(figure) for part, figure in _PEAKS.items() if re.search(rf"\b{part}\b", device)), None)


def shares(spans: Sequence[Span]) -> dict[str, float]:
    """Of the time from the first to the last span, which share went where; what overlaps counts for each."""
    whole = max(each.end for each in spans) - min(each.start for each in spans)
    found = dict.fromkeys((*_KERNELS, _ENCODER), 0.0)
    for each in spans:
        what = next((what for what, part in _KERNELS.items() if part in each.name), _ENCODER)
        found[what] += (each.end - each.start) / whole
    return {**found, _IDLE: 1 - _covered(spans) / whole}


def _covered(spans: Iterable[Span]) -> float:
    """µs in which at least one of them went on."""
    total, until = 0.0, float("-inf")
    for each in sorted(spans, key=lambda each: each.start):
        total += max(0.0, each.end - max(each.start, until))
        until = max(until, each.end)
    return total


class Stage:
    """One encoder and pictures for it."""

    def __init__(self, encoder: Encoder, *, seconds: float) -> None:
        self._encoder, self._seconds = encoder, seconds
        random, side = np.random.default_rng(0), encoder.input_side
        noise = [Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(8)]
        self._pixels: list[Pixels] = [encoder.preprocess(each) for each in noise]

    def measure(self, batches: Sequence[int]) -> dict[str, Any]:
        """Images/s by size of batch, with what the best of them makes of the device."""
        rates = {str(size): self._rate(size) for size in batches}
        best = max(batches, key=lambda size: rates[str(size)])
        return {
            "device": self._device(),
            "rates": rates,
            "best": best,
            "gflop": self._gflop(),
            "peak": peak(self._device()),
            "shares": self._profile(best),
        }

    def _run(self, batch: int, passes: int) -> None:
        """As the micro-batcher does it: the next pass is launched before the one before has been collected."""
        pixels = [self._pixels[number % len(self._pixels)] for number in range(batch)]
        flying: deque[Any] = deque()
        for _ in range(passes):
            flying.append(self._encoder.launch_images(pixels))
            if len(flying) >= self._encoder.ahead:
                flying.popleft().vectors()
        while flying:
            flying.popleft().vectors()

    def _rate(self, batch: int) -> float:
        self._run(batch, 3)  # kernels are chosen, buffers grow
        passes, spent = 1, 0.0
        while True:
            started = time.perf_counter()
            self._run(batch, passes)
            spent = time.perf_counter() - started
            if spent >= self._seconds:
                return passes * batch / spent
            passes = max(passes + 1, min(8 * passes, round(1.2 * passes * self._seconds / spent)))

    def _gflop(self) -> float:
        """Of one image; attention as the matrix products that it is, whichever kernel computes it."""
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode

        counter: Any = FlopCounterMode(display=False)
        plain = bootstrap.encoder(settings.load(encoder_runtime="torch"))
        with sdpa_kernel(SDPBackend.MATH), counter:
            plain.encode_images(self._pixels[:1])
        return float(counter.get_total_flops()) / 1e9

    def _profile(self, batch: int) -> dict[str, float] | None:
        """Where the device's time goes; None where the processor is the device, which is never idle here."""
        import torch
        from torch.profiler import ProfilerActivity, profile

        if not self._encoder.traits.device.startswith("cuda"):
            return None
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            self._run(batch, 30)
            torch.cuda.synchronize()
        spans = [
            Span(name=each.name, start=each.time_range.start, end=each.time_range.end)
            for each in found.events() or ()
            if each.device_type.name == "CUDA"
        ]
        return shares(spans) if spans else None

    def _device(self) -> str:
        import torch

        device = self._encoder.traits.device
        return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def main() -> None:
    runtime, seconds, batches = sys.argv[1], float(sys.argv[2]), [int(each) for each in sys.argv[3:]]
    try:
        encoder = bootstrap.encoder(settings.load(encoder_runtime=runtime, encoder_batch=max(batches)))
    except ConfigurationError as error:
        child.give_up(str(error))
        return
    stage = Stage(encoder, seconds=seconds)
    child.serve(lambda: stage.measure(batches))


if __name__ == "__main__":
    main()
