"""Converted weights are kept on disk, and a cache that is broken or cannot be written costs time, never the model."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from worker.encoder.starter import cache
from worker.encoder.starter.cache import State, cached


class Conversion:
    """Makes a state, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> State:
        self.calls += 1
        return {"weight": torch.arange(6.0).reshape(2, 3).T}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "image-enricher"


def entries(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_the_second_start_does_not_convert():
    """The state comes from disk, the same to the bit."""
    convert = Conversion()

    first, second = cached("net", convert), cached("net", convert)

    assert 1 == convert.calls
    assert torch.equal(first["weight"], second["weight"])


def test_another_name_is_another_entry():
    """A raised conversion version does not read what an older one wrote."""
    convert = Conversion()

    cached("net-v1", convert)
    cached("net-v2", convert)

    assert 2 == convert.calls


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\x01", lambda _: b""]
)
def test_a_damaged_entry_is_made_anew(root: Path, damage):
    """Truncated, with a flipped bit, or empty: converted again, and the cache is whole afterwards."""
    convert = Conversion()
    whole = cached("net", convert)
    (name,) = entries(root)
    (root / name).write_bytes(damage((root / name).read_bytes()))

    again, after = cached("net", convert), cached("net", convert)

    assert 2 == convert.calls
    assert torch.equal(whole["weight"], again["weight"])
    assert torch.equal(whole["weight"], after["weight"])
    assert entries(root) == [name]


def test_the_model_loads_where_nothing_can_be_written(root: Path):
    """A file lies where the directory should be, as on a read-only home."""
    root.write_text("in the way")
    convert = Conversion()

    assert torch.equal(cached("net", convert)["weight"], convert()["weight"])


def test_a_write_that_fails_leaves_nothing_behind(root: Path, monkeypatch):
    """The disk fills up while the entry is written."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)

    cached("net", Conversion())

    assert [] == entries(root)


def test_many_may_start_at_once(root: Path):
    """Each gets the whole state; one entry remains."""
    barrier = threading.Barrier(8)

    def start(_: int) -> State:
        barrier.wait()
        return cached("net", Conversion())

    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(start, range(8)))

    assert all(torch.equal(states[0]["weight"], state["weight"]) for state in states)
    assert 1 == len(entries(root))


def test_the_cache_is_where_the_desktop_standard_puts_it(tmp_path, monkeypatch):
    """XDG_CACHE_HOME when it is absolute, else ~/.cache: whatever ENRICH_HOME is."""
    monkeypatch.setenv("ENRICH_HOME", str(tmp_path / "elsewhere"))
    assert cache.directory() == tmp_path / "image-enricher"

    monkeypatch.setenv("HOME", str(tmp_path))
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache.directory() == tmp_path / ".cache" / "image-enricher"
