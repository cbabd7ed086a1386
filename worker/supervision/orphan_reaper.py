"""Ends a supervisor's children when the supervisor is gone, for whatever reason.

Run as a script with nothing but the standard library, in a session of its own, its standard input a pipe that the
supervisor holds open. Lines on the pipe are ``+PID SIGNAL SECONDS NAME`` (a process group, the signal that stops it,
how long that may take) and ``-PID``. End of file means that the supervisor has died, by SIGKILL if need be: every group
still listed is sent its signal, and SIGKILL when that does not help in time.
"""

from __future__ import annotations

import os
import signal
import sys
import time


def main() -> None:
    """Follow the pipe to its end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, tuple[int, float, str]] = {}
    for line in sys.stdin:
        follow(line, groups)
    if groups:
        log("the supervisor is gone; ending " + ", ".join(f"{name} ({pid})" for pid, (_, _, name) in groups.items()))
        end(groups)


def follow(line: str, groups: dict[int, tuple[int, float, str]]) -> None:
    """Apply one line to the groups known so far; a torn line is skipped."""
    words = line[1:].split(maxsplit=3)
    if line.startswith("+") and len(words) == 4:  # noqa: PLR2004 (PID, SIGNAL, SECONDS, NAME)
        groups[int(words[0])] = (int(words[1]), float(words[2]), words[3].strip())
    elif line.startswith("-") and words:
        groups.pop(int(words[0]), None)


def end(groups: dict[int, tuple[int, float, str]]) -> None:
    """Last started, first stopped: the API goes before the database it writes to."""
    began = time.monotonic()
    for pid, (number, _, _) in reversed(groups.items()):
        send(pid, number)
    left = dict(groups)
    while left:
        time.sleep(0.05)
        for pid, (_, seconds, name) in list(left.items()):
            if not send(pid, 0):
                del left[pid]
            elif time.monotonic() - began > seconds:
                send(pid, signal.SIGKILL)
                log(f"killed {name} ({pid})")
                del left[pid]


def send(pid: int, number: int) -> bool:
    """Signal a process group; False when nothing of it is left."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def log(message: str) -> None:
    """Write to the log file, which is standard error."""
    sys.stderr.write(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + message + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
