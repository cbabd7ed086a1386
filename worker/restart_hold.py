"""Keeps Docker from restarting a process that should not restart: its restart policies ignore the exit status."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from worker import logs
from worker.stop_signal import StopFlag

_log = logs.get("holding")

#: Exit statuses after which a restart does not help: success, and EX_CONFIG.
FINAL = (0, 78)


#: (-P: a folder named `worker` in the working directory is not ours.)
WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "worker", "worker")


def run(command: Sequence[str]) -> int:
    """Run a command; if it ends with a final status without being told to stop, wait for SIGTERM.

    Returns:
        Its exit status as a shell reports it: 128 plus the signal's number if a signal ended it.
    """
    asked = StopFlag()
    child = subprocess.Popen(command, process_group=0)

    def end(number: int, _frame: object) -> None:
        asked.set()
        if child.returncode is None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end)
    status = child.wait()
    if status in FINAL and not asked.is_set():
        _log.error(
            f"the process ended with status {status}, and a restart would not help: now waiting for SIGTERM. Fix the "
            "problem reported above, then start it again",
            action="hold", status=status,
        )  # fmt: skip
        while not asked.wait(3600.0):
            pass
    return status if status >= 0 else 128 - status
