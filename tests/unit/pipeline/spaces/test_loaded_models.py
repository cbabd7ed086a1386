"""Models are loaded once, in workers and in the API alike."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.errors import ModelUnavailableError, SpaceMismatchError
from worker.pipeline.spaces.loaded_models import LoadedModels


class Loads:
    """Loads what it is told to, or fails with it."""

    def __init__(self, result: str | Exception) -> None:
        self.result = result
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_concurrent_callers_wait_for_one_load():
    """All of them get the same model."""
    models: LoadedModels[object] = LoadedModels()
    begun, go, loads = threading.Event(), threading.Event(), []

    def load() -> object:
        loads.append(1)
        begun.set()
        assert go.wait(10)
        return object()

    with ThreadPoolExecutor(4) as pool:
        got = [pool.submit(models.get, 1, load) for _ in range(4)]
        assert begun.wait(10)
        go.set()
        assert (1, 1) == (len({id(each.result(10)) for each in got}), len(loads))


def test_what_is_loaded_does_not_wait_for_another_load():
    """Searches go on in the active space while the next one's model is loaded."""
    models: LoadedModels[str] = LoadedModels()
    models.get(1, Loads("one"))
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(10)
        return "two"

    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(models.get, 2, slow)
        assert begun.wait(10)
        try:
            assert "one" == pool.submit(models.get, 1, Loads("never")).result(10)
        finally:
            go.set()
        assert "two" == other.result(10)


def test_a_refused_model_is_loaded_again_after_a_pause(monkeypatch):
    """Until then, the same error is raised without loading it."""
    models: LoadedModels[str] = LoadedModels()
    load = Loads(SpaceMismatchError("another one"))
    for _ in range(2):
        with pytest.raises(SpaceMismatchError, match="another one"):
            models.get(1, load)
    assert (1, [load.result]) == (load.count, list(models.refusals.values()))
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    load.result = "one"
    assert ("one", {}) == (models.get(1, load), models.refusals)


def test_an_error_that_is_no_refusal_is_not_remembered():
    """A model whose files are missing is looked for again by the next search."""
    models: LoadedModels[str] = LoadedModels(refusal=SpaceMismatchError)
    load = Loads(ModelUnavailableError("not there"))
    for _ in range(2):
        with pytest.raises(ModelUnavailableError):
            models.get(1, load)
    assert (2, {}) == (load.count, models.refusals)


def test_what_is_not_kept_is_freed():
    """Its model is unloaded, and why it was refused is forgotten."""
    freed: list[str] = []
    models: LoadedModels[str] = LoadedModels(unload=freed.append)
    for key, name in ((1, "one"), (2, "two")):
        models.get(key, Loads(name))
    with pytest.raises(SpaceMismatchError):
        models.get(3, Loads(SpaceMismatchError("another one")))
    models.keep([2])
    assert (["one"], [2], {}) == (freed, models.keys, models.refusals)
