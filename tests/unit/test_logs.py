"""What people see of the log of a command."""

from __future__ import annotations

import subprocess
import sys

import pytest

_RUN = """
from worker import logs
log = logs.get("somewhere")
logs.configure(level="WARNING", {how})
log.info("not asked for", action="test")
log.warning("the store is slow", action="test", error="timed out")
try:
    raise ValueError("why")
except ValueError:
    log.exception("unforeseen", action="test")
"""


def said(how: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _RUN.format(how=how)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr.splitlines()


def test_a_command_says_sentences() -> None:
    """Without times and fields; a traceback stays whole."""
    first, second, *rest = said("plain=True")
    assert ["warning: the store is slow: timed out", "error: unforeseen"] == [first, second]
    assert ("Traceback (most recent call last):", "ValueError: why") == (rest[0], rest[-1])


@pytest.mark.parametrize("how", ["json=True", "json=True, plain=True"])
def test_json_is_json_all_the_same(how: str) -> None:
    """A line for each event."""
    assert [True, True] == [line.startswith("{") and '"action": "test"' in line for line in said(how)]
