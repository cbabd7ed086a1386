"""`enrich model fetch`: a model's files in the hub cache before anything needs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models import tiny_clip
from tests.unit.encoder.hub_server import COMMIT, REPOSITORY, Hub, serving

pytestmark = pytest.mark.slow

_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model's files, and one that nothing ever reads."""
    made = tiny_clip(tmp_path_factory.mktemp("model"))
    (made / "pytorch_model.bin").write_bytes(b"a pickle")
    return made


@pytest.fixture
def hub(directory: Path) -> Iterator[Hub]:
    with serving(directory) as running:
        yield running


def fetch(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ENRICH_"))}
    return subprocess.run(
        [sys.executable, "-m", "worker", "model", "fetch", *arguments],
        env=environment | {"HF_HOME": str(home), "HF_ENDPOINT": _NOWHERE, "HF_HUB_DISABLE_XET": "1"} | more,
        cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip


def names(home: Path) -> set[str]:
    return {file.name for file in home.glob(f"hub/models--*/snapshots/{COMMIT}/*")}


def test_the_configured_model_is_fetched_once(tmp_path: Path, hub: Hub) -> None:
    """With an empty revision, too: the main branch is meant. A second time nobody is asked."""
    settings = {"ENRICH_MODEL": REPOSITORY, "ENRICH_MODEL_REVISION": "", "HF_ENDPOINT": hub.url}
    assert COMMIT in fetch(tmp_path, **settings).stderr
    assert "model.safetensors" in names(tmp_path)
    asked = len(hub.requests)
    assert COMMIT in fetch(tmp_path, **settings).stderr
    assert len(hub.requests) == asked


def test_a_directory_is_copied_as_the_commit_that_it_is(tmp_path: Path, directory: Path) -> None:
    """Only what is ever read of it; the hub is not asked, then or later."""
    wanted = (REPOSITORY, "--revision", COMMIT)
    assert COMMIT in fetch(tmp_path, *wanted, "--from", str(directory)).stderr
    assert {"pytorch_model.bin"} == {file.name for file in directory.iterdir()} - names(tmp_path)
    assert 0 == fetch(tmp_path, *wanted).returncode


@pytest.mark.parametrize("revision", [(), ("--revision", "main")])
def test_a_directory_without_its_commit_is_refused(tmp_path: Path, directory: Path, revision: tuple[str, ...]) -> None:
    """Which commit it is decides which vectors it may be compared with."""
    done = fetch(tmp_path, REPOSITORY, *revision, "--from", str(directory))
    assert 1 == done.returncode
    assert "--revision" in done.stderr
    assert names(tmp_path) == set()


def test_another_machines_hub_cache_is_copied(tmp_path: Path, hub: Hub) -> None:
    """It knows its commits: no revision has to be named. It may be copied again, and onto itself."""
    filled, empty = tmp_path / "filled", tmp_path / "empty"
    filled.mkdir()
    empty.mkdir()
    fetch(filled, REPOSITORY, HF_ENDPOINT=hub.url)
    for source in (filled, filled / "hub", empty):
        done = fetch(empty, REPOSITORY, "--from", str(source))
        assert 0 == done.returncode, done.stderr
        assert COMMIT in done.stderr
    assert names(empty) == names(filled)
    assert all(file.is_file() for file in empty.glob("hub/models--*/snapshots/*/*"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, directory: Path) -> None:
    """A file where the cache should be: one sentence, and no traceback."""
    (tmp_path / "hub").write_bytes(b"")
    done = fetch(tmp_path, REPOSITORY, "--revision", COMMIT, "--from", str(directory))
    assert 1 == done.returncode
    assert "HF_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    """So is one without a model."""
    missing = fetch(tmp_path, REPOSITORY, "--revision", COMMIT, "--from", str(tmp_path / "missing"))
    empty = fetch(tmp_path, REPOSITORY, "--revision", COMMIT, "--from", str(tmp_path))
    assert [1, 1] == [missing.returncode, empty.returncode]
    assert "does not exist: name one with" in missing.stderr
    assert "config.json" in empty.stderr


def test_the_starter_needs_no_fetching(tmp_path: Path) -> None:
    """It says so, and succeeds."""
    done = fetch(tmp_path, "starter")
    assert (0, True) == (done.returncode, "nothing to fetch" in done.stderr)
