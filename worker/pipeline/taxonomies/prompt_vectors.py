"""Prompt vectors: encoded once per space, and stored in the database, so that they are the same in every process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worker import catalog
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.types import Floats

#: Texts encoded between two writes, so that little is lost when a process ends half-way.
_AT_ONCE = 256


class PromptVectorCache:
    """A text encoder with a cache that is shared across processes.

    How a model's library sums depends on the batch and the device. With one set of vectors in the database, every
    worker and every retagging decides by the same numbers, to the last bit; and where no prompt is new, the model is
    not loaded.
    """

    def __init__(self, engine: Engine, space: Space, load: Callable[[], Encoder]) -> None:
        """Read and load nothing yet.

        Args:
            engine: the database.
            space: whose model.
            load: gives the model, its text half at least; called once, when a text is new.
        """
        self._engine, self._space, self._load = engine, space, load
        self._encoder: Encoder | None = None
        self._known: dict[str, Floats] = {}
        self.encoded = 0  # texts that were new

    @property
    def logit_scale(self) -> float:
        """What the model multiplies cosines by."""
        with transaction(self._engine) as connection:
            known = catalog.texts.logit_scale(connection, self._space.id)
        if known is not None:
            return known
        scale = self._model().logit_scale
        with transaction(self._engine) as connection:
            catalog.texts.save_logit_scale(connection, self._space.id, scale)
        return scale

    def __call__(self, texts: Sequence[str]) -> Floats:
        """``[len(texts), d]``, in the same order."""
        self._look_up(texts)
        missing = [each for each in dict.fromkeys(texts) if each not in self._known]
        for start in range(0, len(missing), _AT_ONCE):
            self._encode(missing[start : start + _AT_ONCE])
        if not texts:
            return np.empty((0, self._space.dimension), dtype=np.float32)
        return np.stack([self._known[each] for each in texts])

    def _look_up(self, texts: Sequence[str]) -> None:
        unknown = [each for each in texts if each not in self._known]
        if unknown:
            with transaction(self._engine) as connection:
                self._known |= catalog.texts.known(connection, self._space.id, unknown)

    def _encode(self, texts: Sequence[str]) -> None:
        ours = dict(zip(texts, self._model().encode_texts(texts), strict=True))
        with transaction(self._engine) as connection:
            catalog.texts.save(connection, self._space.id, ours)
        self.encoded += len(texts)
        self._look_up(texts)  # another process may have been first
        for each, vector in ours.items():
            self._known.setdefault(each, vector)  # nothing is stored for a dropped space

    def _model(self) -> Encoder:
        self._encoder = self._encoder or self._load()
        return self._encoder
