"""The process in which one image is tried: ``python -m worker.sandbox [MODEL [REVISION]]``, as workers start it for
those that may kill.

It loads the model, encodes a plain picture, says so, reads an image from standard input, decodes and encodes it as a
worker does, and ends with 0 if it is still there.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from worker import bootstrap, images, logs, settings
from worker.encoder import Encoder, MicroBatcher, Pixels
from worker.errors import DeviceMemoryError, FatalDeviceError, ImageRejectedError
from worker.images import ImageLimits
from worker.pipeline.enrichment.sandbox import READY
from worker.settings import Settings

_EXIT_FATAL_DEVICE = 70  # as the worker's
_EXIT_NOT_READY = 69  # EX_UNAVAILABLE
#: Seconds; longer than any worker waits. If it has died meanwhile, nobody else ends a process that an image keeps busy.
LONGEST = 600


def main(loaded: Settings | None = None, model: str | None = None, revision: str | None = None) -> int:
    """One image, by ``model`` or by that of the settings. Returns the exit status."""
    faulthandler.enable()  # where a decoder crashed is in the worker's log
    _go_first()
    _end_by_itself()
    loaded = loaded or settings.load()
    logs.configure(level=loaded.log_level, json=loaded.log_json)
    answers = _take_stdout()
    encoder = bootstrap.encoder(loaded, model=model, revision=revision)
    with MicroBatcher(encoder) as batcher:
        if isinstance(batcher.encode([_grey(encoder)])[0], DeviceMemoryError | ImageRejectedError):
            return _EXIT_NOT_READY
        answers.write(READY)
        return _try(sys.stdin.buffer.read(), encoder, batcher, bootstrap.limits(loaded))


def _try(data: bytes, model: Encoder, batcher: MicroBatcher, limits: ImageLimits) -> int:
    """Errors are no harm: in a worker they are this image's outcome, and nobody else's."""
    try:
        with images.read_image(data, limits=limits, min_side=model.shrink_to).pixels as picture:
            batcher.encode([model.preprocess(picture)])
    except FatalDeviceError:
        return _EXIT_FATAL_DEVICE
    except Exception as error:  # noqa: BLE001  # see above
        logs.get("trial").info(f"an image failed, and did no harm: {error}", action="trial")
    return 0


def _go_first() -> None:
    """Where memory runs out, it is this process that the kernel should take, not the worker or a neighbour."""
    with suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_by_itself() -> None:
    """By the kernel, which also ends what no longer comes back from a decoder."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST)


def _take_stdout() -> BinaryIO:
    """Keep standard output for ourselves: what libraries print is for the log."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _grey(model: Encoder) -> Pixels:
    return model.preprocess(Image.new("RGB", (model.input_side, model.input_side), (128, 128, 128)))


if __name__ == "__main__":
    sys.exit(main(None, *sys.argv[1:]))
