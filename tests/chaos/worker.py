"""``enrich worker`` with a model that loads at once, takes its time, and ends the process at the sight of one colour.

Everything else is the product's: run as ``python -m tests.chaos.worker`` with ``ENRICH_*`` set.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import numpy as np

from tests.chaos.contents import KILLING_COLOUR
from tests.fakes import ColourEncoder
from worker import bootstrap, logs, settings, tasks
from worker.encoder import Pixels
from worker.types import Floats

#: Of a forward pass: long enough for a kill to find work in hand.
_SECONDS = 0.05
_TOLERANCE = 12  # JPEG does not keep colours exactly


class DeadlyEncoder(ColourEncoder):
    """As a native library that crashes: no exception, no clean-up, the process is gone."""

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        time.sleep(_SECONDS)
        if any(_kills(each) for each in pixels):
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._image_features(pixels)


def _kills(pixels: Pixels) -> bool:
    away = np.abs(np.asarray(pixels, dtype=np.float32).reshape(-1, 3) - KILLING_COLOUR)
    return bool(away.max() < _TOLERANCE)


def main() -> None:
    """Run the worker."""
    bootstrap.encoder = lambda *_args, **_options: DeadlyEncoder()
    loaded = settings.load()
    logs.configure(level=loaded.log_level)
    tasks.run_worker(loaded)


if __name__ == "__main__":
    main()
