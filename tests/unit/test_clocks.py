"""Clocks of different machines differ: nothing of ours may set this one against the database's."""

from __future__ import annotations

import ast
from pathlib import Path

import worker

_ROOT = Path(worker.__file__).parent
_WALL_CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("time", "time")}
#: Where the time of day is shown, signed or compared with the store's, never with the database's.
_ALLOWED = {
    "api/sessions.py",  # when cookies and login links end
    "cli/upload.py",  # prints how long ago a file was sent
    "local/probes.py",  # a token's end
    "pipeline/maps/schedule.py",  # when it is night here
    "pipeline/pictures/preview_store.py",  # the age of a file in a folder of this machine, by its file system
    "pipeline/reconciliation/listing_diff.py",  # the age of an object by the store's date, to look at a young one twice
}


def wall_clocks(path: Path) -> list[int]:
    """Lines that ask this machine for the time of day."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in _WALL_CLOCKS
    ]


def test_the_time_of_day_is_the_databases():
    """Leases, retries, heartbeats and latencies are by its clock; waits in a process are by a monotonic one."""
    found = {str(path.relative_to(_ROOT)): wall_clocks(path) for path in _ROOT.rglob("*.py")}
    assert {} == {name: lines for name, lines in found.items() if lines and name not in _ALLOWED}
    assert {name for name in _ALLOWED if found[name]} == _ALLOWED
