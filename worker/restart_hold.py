"""Keeps Docker from starting again what need not start again: none of its restart policies looks at the status."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from worker import logs
from worker.stop_signal import StopFlag

_log = logs.get("holding")

#: Statuses after which starting again does not help: done, and EX_CONFIG.
FINAL = (0, 78)


#: (-P: wherever we were started, a folder `worker` there is not ours.)
WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "worker", "worker")


def run(command: Sequence[str]) -> int:
    """Run a command; if it ends with a final status and nobody asked it to, wait for SIGTERM.

    Returns:
        Its exit status, as a shell gives it: 128 and the signal's number where a signal ended it.
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
            f"the process ended with status {status}, and starting it again would not help: this waits to be told to "
            "end. Correct what the lines above say, then start it again",
            action="hold", status=status,
        )  # fmt: skip
        while not asked.wait(3600.0):
            pass
    return status if status >= 0 else 128 - status
