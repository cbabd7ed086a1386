"""Real processes and real signals: nothing a supervisor started outlives it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.integration.supervision.children import QUICK, SERVER, python, read_pids, runs, wait_for
from worker.supervision.child import ChildSpec, NotReadyError
from worker.supervision.supervisor import Supervisor


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_ends_cleanly(parent, number: signal.Signals):
    """Children and grandchildren are gone when the supervisor has returned."""
    process, pids = parent()
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)

    assert (0, []) == (process.returncode, [pid for pid in pids if runs(pid)])
    assert "ended by itself" in said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_children_die_with_a_supervisor_that_cannot_say_goodbye(parent, number: signal.Signals):
    """Within seconds, grandchildren included."""
    process, pids = parent()
    process.send_signal(number)

    wait_for(lambda: not any(map(runs, pids)), seconds=4)
    assert process.wait() == -number


def test_a_stubborn_child_dies_with_its_supervisor_too(parent):
    """A child that ignores SIGTERM is killed after the orphan reaper's timeout."""
    process, pids = parent("stubborn")
    process.kill()

    wait_for(lambda: not any(map(runs, pids)), seconds=10)


def test_a_second_signal_hurries(parent):
    """Two Ctrl-C do not wait for a child that ignores the first."""
    process, pids = parent("stubborn")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)

    assert [] == [pid for pid in pids if runs(pid)]


def test_a_patient_supervisor_lets_children_finish_whatever_else_is_sent(tmp_path: Path):
    """A closing terminal may send two signals: batches of a worker group are finished all the same."""
    drain = """
    import pathlib, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1], "asked").touch(), time.sleep(1), sys.exit(0)))
    pathlib.Path(sys.argv[1], "up").touch()
    time.sleep(600)
    """
    supervisor = Supervisor(tmp_path, announce=lambda _message: None, policy=QUICK, patient=True)
    child = supervisor.launch(ChildSpec(name="worker", argv=python(drain, str(tmp_path))))

    def send_two() -> None:
        for mark in ("up", "asked"):
            wait_for((tmp_path / mark).exists)
            os.kill(os.getpid(), signal.SIGTERM)

    with supervisor.signals():
        sender = threading.Thread(target=send_two)
        sender.start()
        supervisor.run()
        sender.join()
    assert 0 == child.exit_status()


def test_a_supervisor_outlives_its_orphan_reaper(parent, tmp_path: Path):
    """An orphan reaper that is killed is replaced, and the new one knows the children."""
    process, pids = parent()

    def reapers() -> list[psutil.Process]:
        found = psutil.Process(process.pid).children()
        return [child for child in found if child.pid not in pids and runs(child.pid)]

    first = reapers()[0]
    first.kill()
    wait_for(lambda: any(each.pid != first.pid for each in reapers()))
    time.sleep(0.2)
    process.kill()

    wait_for(lambda: not any(map(runs, pids)), seconds=4)


def test_stages_stop_from_the_top(tmp_path: Path):
    """What uses a server has ended before the server is asked to."""
    code = """
        import pathlib, signal, sys, time
        def end(*_):
            with open(sys.argv[1], "a") as file:
                file.write(sys.argv[2] + " asked\\n")
                file.flush()
                time.sleep(0.2)
                file.write(sys.argv[2] + " ended\\n")
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        pathlib.Path(sys.argv[1] + sys.argv[2]).touch()
        time.sleep(600)
    """
    order = tmp_path / "order"

    def ready(name: str) -> None:
        if not Path(f"{order}{name}").exists():
            raise NotReadyError("not yet")

    supervisor = Supervisor(tmp_path)
    for name, stage in (("app", 10), ("server", 0)):
        argv = python(code, str(order), name)
        supervisor.start(ChildSpec(name=name, argv=argv, stage=stage, probe=partial(ready, name)))
    supervisor.stop()

    assert ["app asked", "app ended", "server asked", "server ended"] == order.read_text().splitlines()


def test_a_child_that_ignores_its_stop_signal_is_killed(tmp_path: Path):
    """Stopping is bounded."""
    (tmp_path / "server.py").write_text(SERVER)
    pids = tmp_path / "pids"
    supervisor = Supervisor(tmp_path)
    argv = [sys.executable, str(tmp_path / "server.py"), str(pids), "stubborn"]
    supervisor.start(ChildSpec(name="stubborn", argv=argv, stop_seconds=0.3))
    wait_for(pids.exists)
    started = time.monotonic()
    supervisor.stop()

    assert time.monotonic() - started < 3
    assert [] == [pid for pid in read_pids(pids) if runs(pid)]
