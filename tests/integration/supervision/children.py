"""Programs that tests supervise, and what became of them."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from worker.supervision.restart_policy import RestartPolicy

QUICK = RestartPolicy(first_delay=0.02, longest_delay=0.05, give_up_after=3)

# Writes its pid and its child's, ignores SIGTERM when told to, and sleeps.
SERVER = """
import os, pathlib, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(f"{os.getpid()} {grandchild.pid}")
path.with_suffix(".new").rename(path)
time.sleep(600)
"""

# The parent of the tests that kill it: two children under one supervisor.
PARENT = """
import pathlib, sys
sys.path.insert(0, {root!r})
from worker.supervision.child import ChildSpec
from worker.supervision.supervisor import Supervisor
here = pathlib.Path(sys.argv[1])
def spec(name, *words):
    return ChildSpec(name=name, argv=[sys.executable, str(here / "server.py"), str(here / (name + ".pids")), *words])
supervisor = Supervisor(here, announce=print)
supervisor.start(spec("one"), spec("two", *sys.argv[2:]))
(here / "up").touch()
supervisor.run()
print("ended by itself")
"""


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> float:
    """Seconds until a condition held; fails when it does not."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - start


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie, which nobody may be there to reap, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read_pids(*files: Path) -> list[int]:
    return [int(word) for file in files for word in file.read_text().split()]


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *words]
