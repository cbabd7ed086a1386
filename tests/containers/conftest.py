"""One machine for all tests of a run; what they leave in it is Docker's cache."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.containers import images, machine
from tests.containers.machine import ADDRESS, Machine, UnavailableError
from tests.containers.system import copy_project
from tests.models import tiny_clip
from tests.unit.encoder.hub_server import Hub

_HUB_PORT = 8091


@pytest.fixture(scope="session")
def checkout() -> Iterator[Path]:
    """What a user has: the project's files, and room for .env."""
    with tempfile.TemporaryDirectory(prefix="container-test-") as name:
        copy_project(Path(name))
        yield Path(name)


@pytest.fixture(scope="session")
def host(checkout: Path) -> Iterator[Machine]:
    """The machine with Docker, the stand-in images, a model hub and the wheels; this process is in its network."""
    try:
        machine.check()
    except UnavailableError as error:
        pytest.skip(str(error))
    images.wheels()  # by this machine's network
    with ExitStack() as stack:
        stack.enter_context(machine.lock())
        docker = stack.enter_context(machine.start(checkout))
        stack.enter_context(docker.network())
        images.make_standins(docker)
        images.drop_old(docker)
        stack.enter_context(images.serving_wheels(docker))
        yield docker


@pytest.fixture(scope="session")
def hub(host: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A model hub that has one tiny CLIP with random weights."""
    server = Hub(tiny_clip(tmp_path_factory.mktemp("hub")), (ADDRESS, _HUB_PORT))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
