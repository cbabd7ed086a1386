"""``enrich worker`` with an encoder that loads at once and can be told to be slow, to break, or to be deaf.

Everything else is the product's: run as ``python -m tests.integration.processes.fake_worker`` with ``ENRICH_*`` set.
With ``--fill N`` it is ``enrich space fill N``, for a space of the model "other".
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from celery import Celery
from celery.worker.consumer import Consumer
from PIL import Image, ImageOps

from tests.fakes import ColourEncoder
from worker import bootstrap, cli, logs, settings, tasks, worker_group
from worker.encoder import Pixels
from worker.types import Floats

_SECONDS = "TEST_ENCODE_SECONDS"  # how long a forward pass takes
_BREAKS = "TEST_BREAKS_ON_BLACK"  # set: a black picture breaks the device
_CRASHES = "TEST_CRASHES_ON_BLACK"  # set: a black picture is an access to memory that is not there
_DEAF = "TEST_DEAF"  # set: consumes a queue that nobody sends to
_ALTERED = "TEST_ALTERED"  # "encoder" or "preprocessing": it makes other vectors, under the same name and revision
_DEAFENED = "TEST_DEAF_AFTER_RECONNECT"  # set: consumes nothing any more once it has lost its broker
_CLOCK = "TEST_CLOCK_SECONDS"  # by how much this machine's clock is wrong


class WilfulEncoder(ColourEncoder):
    """Does as the environment says."""

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        if _BREAKS in os.environ and any(not np.asarray(each).any() for each in pixels):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")  # torch's words
        if _CRASHES in os.environ and any(not np.asarray(each).any() for each in pixels):
            os.kill(os.getpid(), signal.SIGSEGV)
        if threading.current_thread() is not threading.main_thread():  # which checks the model before work begins
            time.sleep(float(os.environ.get(_SECONDS, "0")))
        vectors = super()._image_features(pixels)
        return np.roll(vectors, 1, axis=1) if os.environ.get(_ALTERED) == "encoder" else vectors

    def preprocess(self, image: Image.Image) -> Pixels:
        mirrored = os.environ.get(_ALTERED) == "preprocessing"
        return super().preprocess(ImageOps.mirror(image) if mirrored else image)


def main() -> None:
    """Run the worker."""
    bootstrap.encoder = lambda *_args, **_options: WilfulEncoder()
    if sys.argv[1:2] == ["--fill"]:
        bootstrap.encoder = lambda *_args, **_options: WilfulEncoder("other")
        cli.app(["space", "fill", sys.argv[2]])
    if _DEAF in os.environ:
        celery: Any = Celery
        consume = celery.worker_main
        celery.worker_main = lambda app, argv: consume(app, [*argv, "--queues=nobody-sends-here"])
    if _DEAFENED in os.environ:
        celerys: Any = Consumer
        celerys.on_connection_error_after_connected = lambda *_: threading.Event().wait()
    if _CLOCK in os.environ:
        wrong_by, right = float(os.environ[_CLOCK]), time.time
        time.time = lambda: right() + wrong_by
    loaded = settings.load()
    logs.configure(level=loaded.log_level)
    if loaded.processes > 1:
        worker_group.MEMBER = (sys.executable, "-m", "tests.integration.processes.fake_worker")
        sys.exit(worker_group.run(loaded, cores=4))
    tasks.run_worker(loaded)


if __name__ == "__main__":
    main()
