"""`enrich worker --hold`: what a container's first process does where the supervisor starts again whatever ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_HOLD = "import sys; from worker import restart_hold; sys.exit(restart_hold.run([sys.executable, '-c', sys.argv[1]]))"
_UNTIL_TOLD = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit({status}))
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def hold(program: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLD, program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as held:
        try:
            yield held
        finally:
            held.kill()


@pytest.mark.parametrize("status", [0, 78])
def test_what_need_not_start_again_stays_until_it_is_told_to_end(status: int) -> None:
    """It says with which status the process ended and that it waits; SIGTERM ends it with that status."""
    with hold(f"raise SystemExit({status})") as held:
        assert held.stdout is not None
        line = held.stdout.readline()
        assert f"status {status}" in line
        assert "now waiting for SIGTERM" in line
        time.sleep(0.3)
        assert held.poll() is None
        held.send_signal(signal.SIGTERM)
        assert status == held.wait(10)


@pytest.mark.parametrize(("program", "status"), [("raise SystemExit(1)", 1), ("raise SystemExit(75)", 75)])
def test_what_should_start_again_ends_at_once(program: str, status: int) -> None:
    """Any other status is handed on to the supervisor."""
    with hold(program) as held:
        assert status == held.wait(20)


def test_a_signal_that_kills_is_told_as_a_shell_tells_it() -> None:
    """128 and its number: never a status that means done."""
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with hold(program) as held:
        assert 128 + signal.SIGKILL == held.wait(20)


@pytest.mark.parametrize("status", [0, 78, 3])
def test_told_to_end_it_passes_the_signal_on_and_waits_for_the_end(status: int) -> None:
    """SIGTERM reaches the process, whose status is handed on at once, also one that would otherwise be held."""
    with hold(_UNTIL_TOLD.format(status=status)) as held:
        assert held.stdout is not None
        assert "ready\n" == held.stdout.readline()
        held.send_signal(signal.SIGTERM)
        assert status == held.wait(10)
