"""A supervisor that ignores the deaths of its children hands that on to what it starts."""

from __future__ import annotations

import signal
import subprocess
import sys

_COMMAND = """
import signal, subprocess, sys, types
from worker import cli
from worker.cli import commands

def crash() -> None:
    print(subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]).returncode)

module = types.ModuleType("worker.cli.crash")
module.register = lambda app: app.command()(crash)
sys.modules["worker.cli.crash"], commands.MODULES = module, {"crash": ("crash",)}
assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
cli.main()
"""


def test_a_command_sees_how_its_children_ended() -> None:
    """An ignored SIGCHLD is inherited, and the kernel forgets exit statuses then: commands go back to normal."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process = subprocess.Popen((sys.executable, "-c", _COMMAND, "crash"), stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert "-11" == process.communicate(timeout=60)[0].splitlines()[-1]
