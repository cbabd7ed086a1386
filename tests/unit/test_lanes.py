"""Unit tests start no server: tests/lanes.py sees to it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests import lanes
from worker.local import binaries


@pytest.mark.parametrize("name", ["postgres", "valkey", "weed"])
def test_a_unit_test_that_starts_a_server_fails(name) -> None:
    """The program is not even started, not by way of a shell either."""
    program = str(binaries.postgres() / "postgres" if name == "postgres" else getattr(binaries, name)())
    for command in ([program, "--version"], ["/bin/sh", "-c", 'exec "$@"', "sh", program, "--version"]):
        with pytest.raises(lanes.ServerStartedError):
            subprocess.run(command, check=True)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/usr/bin/chromium", "--headless"], True),
        ([sys.executable, "-m", "worker", "scheduler"], True),
        ([".venv/bin/enrich", "worker"], True),
        ([".venv/bin/enrich", "status"], False),
        ([sys.executable, "-c", "import worker.api"], False),
    ],
)
def test_browsers_and_our_own_processes_count_as_servers(command, expected) -> None:
    """Commands that end by themselves do not."""
    assert expected == lanes.starts_a_server(command)


def item(path: str, *fixtures: str) -> Any:
    """A test as pytest collects it."""
    return SimpleNamespace(
        path=lanes.TESTS / path, nodeid=path, fixturenames=fixtures, get_closest_marker=lambda _: None
    )


@pytest.mark.parametrize(
    ("path", "fixtures", "expected"),
    [
        ("unit/test_logs.py", ["tmp_path"], "unit"),
        ("contract/events/test_event_sources.py", [], "unit"),
        ("contract/objects/test_object_store_contract.py", ["seaweedfs"], "servers"),
        ("integration/ledger/test_ledger.py", [], "servers"),
        ("chaos/test_chaos_audit.py", ["postgres"], "chaos"),
        ("fuzz/test_bombs.py", [], "slow"),
    ],
)
def test_the_lane_follows_from_folder_and_fixtures(path, fixtures, expected) -> None:
    """Nobody has to write it at each test."""
    assert expected == lanes.lane_of(item(path, *fixtures))


def test_a_server_fixture_does_not_belong_below_unit() -> None:
    """The run ends before it begins, and says which test has to move."""
    with pytest.raises(pytest.UsageError, match=r"unit/test_x\.py uses a server: move it"):
        lanes.lane_of(item("unit/test_x.py", "tmp_path", "postgres"))
