"""Image towers of a process that only sometimes encodes images: loaded when a request first needs one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from worker import logs
from worker.catalog.spaces import Space
from worker.encoder import Encoder, MicroBatcher, Pixels
from worker.errors import EnrichError, ImageRejectedError, SpaceMismatchError
from worker.images import ImageLimits
from worker.pipeline.pictures.decode_picture import decode_picture
from worker.pipeline.resilience.memory_budget import DecodeSlots
from worker.pipeline.spaces.loaded_models import LoadedModels
from worker.types import Floats, ImageMetadata

_log = logs.get("pipeline")

#: Seconds that a request waits for the encoder, behind others.
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EncodedPicture:
    """A file's unit vector, ``[d]``, and what the file says about its picture."""

    vector: Floats
    metadata: ImageMetadata


#: The result for one file: an error concerns this file only.
PictureResult: TypeAlias = "EncodedPicture | ImageRejectedError"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Tower:
    encoder: Encoder
    batcher: MicroBatcher
    closed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        self.closed.set()
        self.batcher.close()


class ImageTowers:
    """Decodes and encodes files with the model of a space, within the limits of a worker. Threads may share one.

    Files are checked, decoded and encoded exactly as the worker does it, so that vectors are the same: costly ones in a
    separate process, all within ``decoders``. Nothing is stored.
    """

    def __init__(self, load: Callable[[Space], Encoder], *, limits: ImageLimits, decoders: DecodeSlots) -> None:
        """Load nothing yet.

        Args:
            load: gives the checked model of a space, with its image tower at least.
            limits: on one image.
            decoders: bounds on decoding, for all requests together.
        """
        self._load, self._limits, self._decoders = load, limits, decoders
        self._towers: LoadedModels[_Tower] = LoadedModels(refusal=SpaceMismatchError, unload=_Tower.close)
        self._pool = ThreadPoolExecutor(decoders.count, thread_name_prefix="decode")

    def encode(self, space: Space, files: Sequence[bytes]) -> list[PictureResult]:
        """The vectors of files, or why one has none, in order.

        Raises:
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
            DecoderLostError: a process that decoded a file has ended; trying again may help.
            DeviceMemoryError: the device lacks memory; trying again may help.
            FatalDeviceError: the device is broken.
            TimeoutError: others kept the encoder busy.
        """
        while True:
            tower = self._of(space)
            try:
                return self._encode(tower, files)
            except RuntimeError:  # the tower was unloaded, because its space is not in use any more
                if not tower.closed.is_set():
                    raise

    def encoder(self, space: Space) -> Encoder:
        """The model of a space, loaded if it is not; for what it does to a picture before it looks at it.

        Raises:
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
        """
        return self._of(space).encoder

    @property
    def refusals(self) -> list[str]:
        """Why some spaces cannot be used: their models failed the golden check here."""
        return [str(error) for error in self._towers.refusals.values()]

    def keep_ready(self, wanted: Sequence[Space]) -> None:
        """Load the towers of these spaces and free all others, once any request has needed one."""
        if not self._towers.keys:
            return
        for space in wanted:
            try:
                self._of(space)
            except EnrichError as error:
                _log.warning(f"images cannot be encoded: {error}", action="model", space=space.id)
        self._towers.keep([each.id for each in wanted])

    def _of(self, space: Space) -> _Tower:
        return self._towers.get(space.id, lambda: _tower(self._load(space)))

    def _encode(self, tower: _Tower, files: Sequence[bytes]) -> list[PictureResult]:
        decoded = list(self._pool.map(lambda data: self._decode(tower.encoder, data), files))
        pictures = [each for each in decoded if not isinstance(each, ImageRejectedError)]
        vectors = iter(tower.batcher.encode([pixels for _, pixels in pictures], timeout=_PATIENCE))
        results: list[PictureResult] = []
        for each in decoded:
            if isinstance(each, ImageRejectedError):
                results.append(each)
                continue
            vector = next(vectors)
            if isinstance(vector, ImageRejectedError):
                results.append(vector)
            elif isinstance(vector, EnrichError):
                raise vector
            else:
                results.append(EncodedPicture(vector=vector, metadata=each[0]))
        return results

    def _decode(self, encoder: Encoder, data: bytes) -> tuple[ImageMetadata, Pixels] | ImageRejectedError:
        try:
            with self._decoders.turn():
                return decode_picture(data, encoder=encoder, limits=self._limits, reserve=self._decoders.reserve)
        except ImageRejectedError as error:
            return error


def _tower(encoder: Encoder) -> _Tower:
    return _Tower(encoder=encoder, batcher=MicroBatcher(encoder))
