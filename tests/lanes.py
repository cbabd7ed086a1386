"""Which lane a test runs in, and a guard that no unit test starts a server.

Every test has exactly one of the markers in ``LANES``. It follows from the folder and the fixtures, unless the test has
one already: only what is slow, or drives a browser, says so itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

LANES = ("gpu", "browser", "chaos", "servers", "slow", "unit")
TESTS = Path(__file__).parent
_FOLDERS = {
    "gpu": "gpu",
    "chaos": "chaos",
    "integration": "servers",
    "acceptance": "servers",
    "containers": "servers",
    "fuzz": "slow",
}
#: Fixtures behind which a server runs. Folders other than unit may use them.
_SERVER_FIXTURES = frozenset({"postgres", "servers", "seaweedfs"})
_PROGRAMS = frozenset({
    "postgres", "pg_ctl", "initdb", "valkey-server", "redis-server", "weed",
    "celery", "chromium", "chromium-browser", "google-chrome", "chromedriver",
})  # fmt: skip
#: What ``enrich`` and ``python -m worker`` keep running.
_PROCESSES = frozenset({"worker", "scheduler", "listen", "api", "up", "demo"})


class ServerStartedError(AssertionError):
    """A unit test started a server: it belongs into another lane."""


def lane_of(item: pytest.Item) -> str:
    """The first that applies: the test's own marker, its folder, its fixtures.

    Raises:
        pytest.UsageError: It is below ``tests/unit`` and uses a server.
    """
    for lane in LANES:
        if item.get_closest_marker(lane):
            return lane
    folder = item.path.relative_to(TESTS).parts[0]
    uses_servers = not _SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    if uses_servers and folder == "unit":
        raise pytest.UsageError(f"{item.nodeid} uses a server: move it to tests/integration")
    return _FOLDERS.get(folder, "servers" if uses_servers else "unit")


def starts_a_server(command: Sequence[str]) -> bool:
    """Whether a command line starts a server, a browser or one of our own long-running processes."""
    names = [Path(part).name for part in command]
    ours = any(name in {"enrich", "worker"} and then in _PROCESSES for name, then in pairwise(names))
    return ours or not _PROGRAMS.isdisjoint(names)


class Guard:
    """Refuses servers while a unit test runs."""

    def __init__(self) -> None:
        self._armed = False
        sys.addaudithook(self._audit)

    @contextmanager
    def around(self, item: pytest.Item) -> Iterator[None]:
        self._armed = item.get_closest_marker("unit") is not None
        yield
        self._armed = False

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event != "subprocess.Popen" or not self._armed:
            return
        command = arguments[1]
        parts = [command] if isinstance(command, (str, bytes, os.PathLike)) else list(command)  # type: ignore[call-overload]
        if starts_a_server([os.fsdecode(part) for part in parts]):
            raise ServerStartedError(f"a unit test started {command}")
