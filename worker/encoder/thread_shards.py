"""Splits a batch among threads: several narrow passes in parallel keep all cores of a CPU busy.

The threads of a wide pass wait for each other after every step of every layer. Beside decoders, which want the same
cores, one of them is usually not running, and the others wait for it some hundred times a pass. Threads that each
take a part of the batch through the whole model wait once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeAlias

import numpy as np
import torch

from worker.encoder.interface import Pixels
from worker.types import Floats

#: Images per shard in a full batch. With fewer, reading the weights from memory more often costs more than it gains.
_FULL = 8

#: Called with the number of a lane and its part of a batch; gives ``[n, dimension]``.
Work: TypeAlias = Callable[[int, Sequence[Pixels]], Floats]


class ThreadShards:
    """Threads that divide every batch among themselves. Called by one thread at a time."""

    def __init__(self, *, batch: int, least: int = 4) -> None:
        """Start the threads; torch's threads, as many as there are now, are shared out among them.

        Args:
            batch: most images in one pass; decides how many lanes are worth their while.
            least: images below which a lane is not worth its while.
        """
        threads = torch.get_num_threads()
        self.count = max(1, min(threads, batch // _FULL))
        self._least = least
        self._pool = _narrow(self.count, threads // self.count) if self.count > 1 else None

    def __call__(self, work: Work, pixels: Sequence[Pixels]) -> Floats:
        """``[n, dimension]``, in order; a small batch in one piece, by the calling thread.

        Raises:
            Exception: the first that a lane raised, once no lane works any more.
        """
        used = min(self.count, len(pixels) // self._least)
        if self._pool is None or used <= 1:
            return work(0, pixels)
        cuts = [round(lane * len(pixels) / used) for lane in range(used + 1)]
        parts = [self._pool.submit(work, lane, pixels[cuts[lane] : cuts[lane + 1]]) for lane in range(used)]
        wait(parts)
        return np.concatenate([part.result() for part in parts])


def _narrow(count: int, threads: int) -> ThreadPoolExecutor:
    """A pool whose threads each compute with so many of torch's."""
    wide = torch.get_num_threads()
    started = threading.Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # else the thread's first use of torch would undo the next line
        torch.set_num_threads(threads)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="encoder", initializer=begin)
    for _ in range(count):
        pool.submit(int)  # a thread is started when there is something to do
    started.wait()
    torch.set_num_threads(wide)  # what was set last is also what threads get that have not used torch yet
    return pool
