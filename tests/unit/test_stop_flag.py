"""Asking a process to end, at the worst moments."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from worker import worker_group
from worker.settings import Settings
from worker.stop_signal import StopFlag
from worker.supervision.restart_policy import RestartPolicy
from worker.supervision.supervisor import Supervisor

#: Calls and returns after a wait begins, at each of which a signal comes; some are within, some between two waits.
MOMENTS = range(12)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


class _HangsError(Exception):
    """Raised by the alarm, wherever the main thread hangs."""


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise _HangsError


@contextmanager
def struck(moment: int) -> Iterator[None]:
    """SIGTERM comes so many calls and returns after the first wait began; what hangs then, hangs for two seconds."""
    left: int | None = None

    def strike(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        if left is None and event == "call" and frame.f_code.co_name == "wait":
            left = moment
        elif left is not None:
            left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    signal.signal(signal.SIGALRM, _hangs)
    signal.setitimer(signal.ITIMER_REAL, 2.0, 0.5)
    sys.setprofile(strike)
    try:
        yield
    finally:
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


def until_asked() -> None:
    asked = StopFlag()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    while not asked.wait(0.01):
        pass


def crew_of_one() -> None:
    assert 0 == worker_group.run(Settings(processes=1), cores=1)


def supervisor_of_none() -> None:
    Supervisor(Path("unused")).run()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("waits", [until_asked, crew_of_one, supervisor_of_none])
def test_a_signal_ends_what_waits_for_it_at_whatever_moment_it_comes(
    waits: Callable[[], None], moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the moments in which the main thread is about to wait, or has just woken up."""
    monkeypatch.setattr(worker_group, "MEMBER", ("/bin/sh", "-c", "exec sleep 60"))
    with struck(moment):
        waits()


def test_a_process_that_cannot_be_started_now_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have no memory for one more at that moment: the others go on meanwhile."""
    start, tries = subprocess.Popen, []

    def popen(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        tries.append(arguments)
        if len(tries) == 3:  # after the orphan reaper and one worker
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if len(tries) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return start(*arguments, **more)

    monkeypatch.setattr(worker_group, "MEMBER", ("/bin/sh", "-c", "exec sleep 60"))
    monkeypatch.setattr(worker_group, "_POLICY", RestartPolicy(first_delay=0.01))
    monkeypatch.setattr(subprocess, "Popen", popen)
    with struck(10_000):
        assert 0 == worker_group.run(Settings(processes=2), cores=2)
    assert 4 == len(tries)


def test_all_who_wait_are_woken() -> None:
    """One request reaches every thread, and stays made."""
    asked, woken = StopFlag(), []
    threads = [threading.Thread(target=lambda: woken.append(asked.wait(30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    asked.set()
    for thread in threads:
        thread.join(10)
    assert ([True] * 3, True, True) == (woken, asked.is_set(), asked.wait(0))


def test_waiting_ends_when_its_time_is_over() -> None:
    """Nobody has asked then; a time that is over already is none."""
    asked = StopFlag()
    assert (False, False, False) == (asked.wait(0.01), asked.wait(-1), asked.is_set())
