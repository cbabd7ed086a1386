"""Models by hub id: against a hub of our own, reached as huggingface_hub reaches the real one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.encoder.hub_server import COMMIT, REPOSITORY, Hub, serving

pytestmark = pytest.mark.slow

_LOCATE = """
import json, sys
from worker.encoder.files import locate
from worker.errors import EnrichError
try:
    files = locate(sys.argv[1], sys.argv[2] or None)
    print(json.dumps({"name": files.name, "revision": files.revision, "files": sorted(f.name for f in files.path.iterdir())}))
except EnrichError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""  # noqa: E501 - a program, kept as short as it reads


@pytest.fixture
def repository(clip_dir: Path, tmp_path: Path) -> Path:
    """What the hub serves: the small CLIP, and beside it what must not be downloaded."""
    directory = tmp_path / "repository"
    shutil.copytree(clip_dir, directory)
    (directory / "pytorch_model.bin").write_bytes(b"pickle")
    (directory / "flax_model.msgpack").write_bytes(b"flax")
    (directory / "modeling_evil.py").write_text("raise SystemExit")
    return directory


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty hub cache."""
    return tmp_path / "hub-home"


def locate(endpoint: str, home: Path, model: str = REPOSITORY, revision: str = "", **more: str) -> dict[str, Any]:
    """Run ``locate`` in a process of its own: huggingface_hub reads its environment once, on import."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | more
    command = [sys.executable, "-c", _LOCATE, model, revision]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_model_is_fetched_and_its_revision_is_the_commit(repository, home):
    """Only data comes down: no pickles, no code."""
    with serving(repository) as hub:
        answer = locate(hub.url, home)
    expected = [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert answer == {"name": REPOSITORY, "revision": COMMIT, "files": expected}


def test_a_cached_model_needs_no_hub(repository, home):
    """The second start takes the cache without a request, by branch and by commit."""
    with serving(repository) as hub:
        first = locate(hub.url, home)
        asked = len(hub.requests)
        assert locate(hub.url, home) == first
        assert len(hub.requests) == asked
    assert locate(nobody(), home) == first
    assert locate(nobody(), home, revision=COMMIT) == first
    assert locate(nobody(), home, HF_HUB_OFFLINE="1") == first


def test_an_incomplete_cache_is_completed(repository, home):
    """A download that broke off, or that something else did in part, is not mistaken for the model."""
    with serving(repository) as hub:
        whole = locate(hub.url, home)
        next(home.rglob("snapshots/*/model.safetensors")).unlink()
        assert "ModelUnavailableError" == locate(nobody(), home)["error"]
        assert locate(hub.url, home) == whole


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["nobody listens", "offline mode"])
def test_no_hub_and_no_cache_is_one_clear_error(home, environment):
    """At once, not after minutes of retries, and with the two ways out and the starter."""
    started = time.monotonic()
    answer = locate(nobody(), home, **environment)
    assert time.monotonic() - started < 15
    assert "ModelUnavailableError" == answer["error"]
    assert "is not in this machine's hub cache and the hub does not answer" in answer["message"]
    assert "set ENRICH_MODEL to a directory that holds config.json, model.safetensors" in answer["message"]
    assert "let this machine reach the model hub once" in answer["message"]
    assert "ENRICH_MODEL=starter" in answer["message"]


def test_a_hub_that_never_answers_is_given_up(home):
    """A firewall that swallows packets costs seconds."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        answer = locate(f"http://127.0.0.1:{silent.getsockname()[1]}", home)
    assert time.monotonic() - started < 30
    assert "ModelUnavailableError" == answer["error"]


def test_a_misspelt_model_is_said_to_be_missing(repository, home):
    """The hub answers, so the name is wrong, or a token is missing."""
    with serving(repository) as hub:
        answer = locate(hub.url, home, model="someone/tiny-clap")
    assert "ModelUnavailableError" == answer["error"]
    assert "no such model, or it is private and HF_TOKEN is not set" in answer["message"]


def test_a_repository_of_pickles_is_refused_before_it_is_downloaded(repository, home):
    """Nothing is fetched that would only be refused."""
    (repository / "model.safetensors").unlink()
    with serving(repository) as hub:
        answer = locate(hub.url, home)
        assert not [request for request in hub.requests if "/resolve/" in request]
    assert "ModelUnsupportedError" == answer["error"]
    assert "pickled" in answer["message"]


def test_the_hub_of_these_tests_is_asked_at_all(repository, home):
    """A guard: were the endpoint ignored, the tests above would test something else."""
    with serving(repository) as hub:
        assert isinstance(hub, Hub)
        locate(hub.url, home)
        assert any(COMMIT in request for request in hub.requests)
