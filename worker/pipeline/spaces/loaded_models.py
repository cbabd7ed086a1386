"""What a process has loaded for embedding spaces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from worker.catalog.spaces import Space
from worker.errors import EnrichError

_Loaded = TypeVar("_Loaded")

#: Seconds until a model that was refused is loaded again.
_RETRY_LOADING = 60.0


def kept_ready(spaces: Sequence[Space], spare: int) -> list[Space]:
    """The spaces whose models a reading process keeps: the active one, then the newest ``spare`` that are filling."""
    active = [each for each in spaces if each.state == "active"]
    return active + [each for each in reversed(spaces) if each.state == "filling"][:spare]


class LoadedModels(Generic[_Loaded]):
    """Models by space; None is the configured one. Concurrent callers wait for one load of it."""

    def __init__(
        self, *, refusal: type[EnrichError] = EnrichError, unload: Callable[[_Loaded], object] = lambda _: None
    ) -> None:
        """Nothing is loaded yet. After a ``refusal``, loading pauses; ``unload`` frees a model."""
        self._refusal, self._unload = refusal, unload
        self._loaded: dict[int | None, _Loaded] = {}
        self._refused: dict[int | None, tuple[float, EnrichError]] = {}  # when to try again, and why not now
        self._mutex = threading.RLock()  # loading one may take another

    @property
    def keys(self) -> list[int | None]:
        """Of what is loaded, oldest first."""
        return list(self._loaded)

    @property
    def refusals(self) -> dict[int | None, EnrichError]:
        """Why some cannot be used."""
        return {key: error for key, (_, error) in list(self._refused.items())}

    def get(self, key: int | None, load: Callable[[], _Loaded]) -> _Loaded:
        """A model, loaded if it is not yet.

        Raises:
            EnrichError: from ``load``, now or shortly before.
        """
        found = self._loaded.get(key)
        if found is not None:
            return found  # without waiting for another one's load
        with self._mutex:
            if key not in self._loaded:
                self._loaded[key] = self._load(key, load)
            return self._loaded[key]

    def _load(self, key: int | None, load: Callable[[], _Loaded]) -> _Loaded:
        until, error = self._refused.get(key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error
        try:
            loaded = load()
        except self._refusal as refused:
            self._refused[key] = (time.monotonic() + _RETRY_LOADING, refused)
            raise
        self._refused.pop(key, None)
        return loaded

    def keep(self, keys: Collection[int | None]) -> None:
        """Free all but these, and forget why others were refused."""
        with self._mutex:
            for key in self._refused.keys() - keys:
                del self._refused[key]
            for key in self._loaded.keys() - keys:
                self._unload(self._loaded.pop(key))
