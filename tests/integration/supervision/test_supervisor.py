"""Real processes and real signals: nothing a supervisor started outlives it, and nothing dies unnoticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from worker.errors import ServerError
from worker.supervision.child import ChildSpec, NotReadyError
from worker.supervision.restart_policy import RestartPolicy
from worker.supervision.supervisor import Supervisor

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


def _wait_for(condition: Callable[[], object], seconds: float = 20.0) -> float:
    """Seconds until a condition held; fails when it does not."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - start


def _runs(pid: int) -> bool:
    """Whether a process runs; a zombie, which nobody may be there to reap, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _read_pids(*files: Path) -> list[int]:
    return [int(word) for file in files for word in file.read_text().split()]


def _python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *words]


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[int]]]]:
    """Starts a process that supervises two children with a grandchild each; gives it and the four pids."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "server.py").write_text(SERVER)

    def start(*words: str) -> tuple[subprocess.Popen[str], list[int]]:
        root = str(Path(__file__).parents[3])
        argv = _python(PARENT.format(root=root), str(tmp_path), *words)
        process = subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        started.append(process)
        files = [tmp_path / "one.pids", tmp_path / "two.pids"]
        _wait_for(lambda: all(file.exists() for file in [*files, tmp_path / "up"]))
        return process, _read_pids(*files)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, announce=lambda _message: None, policy=QUICK)
    yield supervisor
    supervisor.stop()


# -- the end ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_ends_cleanly(parent, number: signal.Signals):
    """Children and grandchildren are gone when the supervisor has returned."""
    process, pids = parent()
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)

    assert (0, []) == (process.returncode, [pid for pid in pids if _runs(pid)])
    assert "ended by itself" in said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_children_die_with_a_supervisor_that_cannot_say_goodbye(parent, number: signal.Signals):
    """Within seconds, grandchildren included."""
    process, pids = parent()
    process.send_signal(number)

    _wait_for(lambda: not any(map(_runs, pids)), seconds=4)
    assert process.wait() == -number


def test_a_stubborn_child_dies_with_its_supervisor_too(parent):
    """A child that ignores SIGTERM is killed after the guardian's patience."""
    process, pids = parent("stubborn")
    process.kill()

    _wait_for(lambda: not any(map(_runs, pids)), seconds=10)


def test_a_second_signal_hurries(parent):
    """Two Ctrl-C do not wait for a child that ignores the first."""
    process, pids = parent("stubborn")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)

    assert [] == [pid for pid in pids if _runs(pid)]


def test_a_patient_supervisor_lets_children_finish_whatever_else_is_sent(tmp_path: Path):
    """A closing terminal may send two signals: batches of a worker group are finished all the same."""
    drain = """
    import pathlib, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1], "asked").touch(), time.sleep(1), sys.exit(0)))
    pathlib.Path(sys.argv[1], "up").touch()
    time.sleep(600)
    """
    supervisor = Supervisor(tmp_path, announce=lambda _message: None, policy=QUICK, patient=True)
    child = supervisor.launch(ChildSpec(name="worker", argv=_python(drain, str(tmp_path))))

    def send_two() -> None:
        for mark in ("up", "asked"):
            _wait_for((tmp_path / mark).exists)
            os.kill(os.getpid(), signal.SIGTERM)

    with supervisor.signals():
        sender = threading.Thread(target=send_two)
        sender.start()
        supervisor.run()
        sender.join()
    assert 0 == child.exit_status()


def test_a_supervisor_outlives_its_guardian(parent, tmp_path: Path):
    """A guardian that somebody kills is replaced, and the new one knows the children."""
    process, pids = parent()

    def guardians() -> list[psutil.Process]:
        found = psutil.Process(process.pid).children()
        return [child for child in found if child.pid not in pids and _runs(child.pid)]

    first = guardians()[0]
    first.kill()
    _wait_for(lambda: any(each.pid != first.pid for each in guardians()))
    time.sleep(0.2)
    process.kill()

    _wait_for(lambda: not any(map(_runs, pids)), seconds=4)


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
        argv = _python(code, str(order), name)
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
    _wait_for(pids.exists)
    started = time.monotonic()
    supervisor.stop()

    assert time.monotonic() - started < 3
    assert [] == [pid for pid in _read_pids(pids) if _runs(pid)]


# -- life --------------------------------------------------------------------------------------------------------------
def test_a_child_that_dies_is_named_and_restarted(tmp_path: Path):
    """Somebody watching the terminal learns what died, how, and that it is back."""
    said: list[str] = []
    supervisor = Supervisor(tmp_path, announce=said.append, policy=QUICK)
    child = supervisor.launch(ChildSpec(name="api", argv=_python("import time; time.sleep(600)")))
    first = child.pid
    os.kill(first, signal.SIGKILL)
    supervisor.run(until=lambda: len(said) == 2)

    assert said[0].startswith("api died (killed by SIGKILL); restarting it in 0.02 s")
    assert said[1].startswith("api was restarted (pid ")
    assert child.pid != first


def test_a_child_that_always_dies_takes_nothing_along(tmp_path: Path):
    """After quick attempts it is tried at longer intervals; one message says how it died, and ends with its log."""
    said: list[str] = []
    policy = RestartPolicy(first_delay=0.02, give_up_after=3, last_delay=0.3)
    supervisor = Supervisor(tmp_path, announce=said.append, policy=policy)
    other = supervisor.launch(ChildSpec(name="other", argv=_python("import time; time.sleep(600)")))
    supervisor.launch(ChildSpec(name="api", argv=_python("print('no such table'); raise SystemExit(3)")))
    alive: list[bool] = []

    def seen() -> bool:
        alive.append(_runs(other.pid))
        return sum("died" in line for line in said) == 5

    supervisor.run(until=seen)

    resigned = [line for line in said if "3 times in a row" in line]
    assert (1, True) == (len(resigned), all(alive))
    assert "api died (exit status 3), 3 times in a row; it is restarted every 0.3 s" in resigned[0]
    assert resigned[0].endswith("| no such table")
    assert "restarting it in 0.3 s" in said[-1]


@pytest.mark.parametrize("status", [0, 78])
def test_a_child_whose_end_is_final_is_not_started_again(tmp_path: Path, status: int):
    """It was told to end, or only a person can help: that is said once, and the others go on."""
    said: list[str] = []
    supervisor = Supervisor(tmp_path, announce=said.append, policy=QUICK)
    other = supervisor.launch(ChildSpec(name="other", argv=_python("import time; time.sleep(600)")))
    program = _python(f"print('a newer release'); raise SystemExit({status})")
    supervisor.launch(ChildSpec(name="worker", argv=program, final=frozenset({0, 78})))
    until = time.monotonic() + 1.0
    supervisor.run(until=lambda: time.monotonic() > until and bool(said) and _runs(other.pid))

    assert 1 == len(said)
    assert said[0].startswith(f"worker ended (exit status {status}) and is not restarted")
    assert said[0].endswith("| a newer release")


@pytest.mark.parametrize(
    ("final", "final_at_first", "starts"),
    [
        pytest.param({7}, set(), 1, id="starting it again would not help"),
        pytest.param(set(), {7}, 1, id="nor at the first start"),
        pytest.param(set(), set(), 3, id="quick deaths in a row"),
    ],
)
def test_a_child_may_end_all_others(tmp_path: Path, final: set[int], final_at_first: set[int], starts: int):
    """Then the supervisor ends them as on SIGTERM, and returns that child's exit status."""
    said: list[str] = []
    supervisor = Supervisor(tmp_path, announce=said.append, policy=QUICK)
    other = supervisor.launch(ChildSpec(name="other", argv=_python("import time; time.sleep(600)")))
    worker = ChildSpec(name="worker", argv=_python("raise SystemExit(7)"), ends_all=True)
    supervisor.add(replace(worker, final=frozenset(final), final_at_first=frozenset(final_at_first)))

    assert (7, False) == (supervisor.run(), _runs(other.pid))
    assert starts == sum("started (pid" in line for line in said)
    assert "; everything ends." in said[-1]


def test_without_a_folder_for_logs_children_write_where_the_supervisor_writes(capfd: pytest.CaptureFixture[str]):
    """As a command does whose log is its standard error."""
    said: list[str] = []
    supervisor = Supervisor(None, announce=said.append, policy=QUICK)
    supervisor.add(ChildSpec(name="worker", argv=_python("print('trouble'); raise SystemExit(7)"), ends_all=True))

    assert 7 == supervisor.run()
    assert ["trouble"] * 3 == capfd.readouterr().out.split()
    assert said[-1].endswith("; everything ends")


def test_a_child_that_cannot_be_started_again_is_tried_again(tmp_path: Path):
    """Its program is away for a moment: the supervisor stays."""
    said: list[str] = []
    program, log = tmp_path / "program", tmp_path / "logs"
    log.mkdir()
    program.write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o700)
    supervisor = Supervisor(log, announce=said.append, policy=QUICK)
    child = supervisor.launch(ChildSpec(name="api", argv=[str(program)], cwd=program.parent / "logs"))
    log.rename(tmp_path / "away")
    os.kill(child.pid, signal.SIGKILL)

    def seen() -> bool:
        if any("could not be started" in line for line in said) and not log.exists():
            (tmp_path / "away").rename(log)
        return any("was restarted" in line for line in said)

    supervisor.run(until=seen)

    assert any("api could not be started" in line for line in said)


def test_a_child_that_lived_long_enough_starts_with_a_clean_record(tmp_path: Path):
    """Three deaths in a month are not three in a row."""
    said: list[str] = []
    policy = RestartPolicy(first_delay=0.01, quick=0.0, give_up_after=2)
    supervisor = Supervisor(tmp_path, announce=said.append, policy=policy)
    supervisor.launch(ChildSpec(name="worker", argv=["true"]))
    supervisor.run(until=lambda: len(said) >= 8)

    assert [] == [line for line in said if "0.01 s" not in line and "was restarted" not in line]


def test_a_restart_appends_to_the_log(tmp_path: Path):
    """The log of the life that ended is what explains the death."""
    said: list[str] = []
    supervisor = Supervisor(tmp_path, announce=said.append, policy=RestartPolicy(first_delay=0.01))
    supervisor.launch(ChildSpec(name="worker", argv=["sh", "-c", "echo hello; echo trouble >&2"]))
    supervisor.run(until=lambda: sum("was restarted" in line for line in said) == 2)

    assert (tmp_path / "worker.log").read_text().count("hello\ntrouble\n") >= 2


def test_arguments_reach_the_child_unchanged(supervisor: Supervisor, tmp_path: Path):
    """No shell interprets them, although one passes them on."""
    words = ["two words", "$HOME", "'", '"', "`id`", "", "*", "\\n", "-e"]
    written = tmp_path / "argv"
    code = "import sys, time; open(sys.argv[1], 'w').write(repr(sys.argv[2:])); time.sleep(600)"
    supervisor.launch(ChildSpec(name="echo", argv=_python(code, str(written), *words)))
    _wait_for(lambda: written.exists() and written.stat().st_size)

    assert written.read_text() == repr(words)


def test_a_child_sees_neither_terminal_nor_pipe(supervisor: Supervisor, tmp_path: Path):
    """Its input is empty; a copy of the guardian's pipe would keep the guardian from noticing the end."""
    written = tmp_path / "fds"
    code = """
        import os, sys, time
        links = []
        for fd in sorted(os.listdir("/dev/fd"), key=int):
            try: os.fstat(int(fd)); links.append(fd)
            except OSError: pass
        open(sys.argv[1], "w").write(repr((sys.stdin.read(), links)))
        time.sleep(600)
    """
    supervisor.launch(ChildSpec(name="look", argv=_python(code, str(written))))
    _wait_for(lambda: written.exists() and written.stat().st_size)

    assert written.read_text() == repr(("", ["0", "1", "2"]))


# -- readiness ---------------------------------------------------------------------------------------------------------
def _never() -> None:
    raise NotReadyError("the index is missing")


def test_a_child_that_does_not_become_ready_is_reported_with_its_log(supervisor: Supervisor):
    """What was missing, and what the child said."""
    argv = _python("print('still loading', flush=True); import time; time.sleep(600)")

    with pytest.raises(ServerError) as late:
        supervisor.start(ChildSpec(name="api", argv=argv, probe=_never, ready_seconds=0.5))

    assert "api was not ready after 0.5 s (the index is missing)" in str(late.value)
    assert "| still loading" in str(late.value)


def test_a_child_that_ends_while_starting_is_reported_at_once(supervisor: Supervisor, tmp_path: Path):
    """Not after the deadline, and without the log of earlier starts."""
    (tmp_path / "api.log").write_text("yesterday's trouble\n")
    argv = _python("print('bad setting'); raise SystemExit(2)")

    with pytest.raises(ServerError) as ended:
        supervisor.start(ChildSpec(name="api", argv=argv, probe=_never))

    assert "api ended while starting (exit status 2)" in str(ended.value)
    assert "| bad setting" in str(ended.value)
    assert "yesterday" not in str(ended.value)


def test_a_program_that_does_not_exist_is_reported(supervisor: Supervisor):
    """By name, through its log."""
    with pytest.raises(ServerError, match="no-such-program"):
        supervisor.start(ChildSpec(name="api", argv=["/no-such-program"], probe=_never))


def test_starting_waits_for_the_one_before(supervisor: Supervisor, tmp_path: Path):
    """A child finds what it needs ready."""
    seen: list[bool] = []

    def first_ready() -> None:
        if not (tmp_path / "first.log").read_text().count("ready"):
            raise NotReadyError("first")

    def second_ready() -> None:
        seen.append("ready" in (tmp_path / "first.log").read_text())

    slow = _python("import time; time.sleep(0.3); print('ready', flush=True); time.sleep(600)")
    supervisor.start(
        ChildSpec(name="first", argv=slow, probe=first_ready),
        ChildSpec(name="second", argv=["sleep", "600"], probe=second_ready),
    )

    assert [True] == seen


def test_an_interrupt_ends_the_wait_for_readiness(supervisor: Supervisor):
    """Ctrl-C while a model loads does not wait for it."""
    threading.Timer(0.3, supervisor.interrupt).start()
    started = time.monotonic()

    with pytest.raises(ServerError, match="interrupted while starting"):
        supervisor.start(ChildSpec(name="api", argv=["sleep", "600"], probe=_never))
    assert time.monotonic() - started < 5
