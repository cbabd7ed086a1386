"""Real processes: none of those that a supervisor keeps dies unnoticed."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.supervision.children import QUICK, python, runs, wait_for
from worker.errors import ServerError
from worker.supervision.child import ChildSpec, NotReadyError
from worker.supervision.restart_policy import RestartPolicy
from worker.supervision.supervisor import Supervisor


# -- life --------------------------------------------------------------------------------------------------------------
def test_a_child_that_dies_is_named_and_restarted(tmp_path: Path):
    """Somebody watching the terminal learns what died, how, and that it is back."""
    said: list[str] = []
    supervisor = Supervisor(tmp_path, announce=said.append, policy=QUICK)
    child = supervisor.launch(ChildSpec(name="api", argv=python("import time; time.sleep(600)")))
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
    other = supervisor.launch(ChildSpec(name="other", argv=python("import time; time.sleep(600)")))
    supervisor.launch(ChildSpec(name="api", argv=python("print('no such table'); raise SystemExit(3)")))
    alive: list[bool] = []

    def seen() -> bool:
        alive.append(runs(other.pid))
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
    other = supervisor.launch(ChildSpec(name="other", argv=python("import time; time.sleep(600)")))
    program = python(f"print('a newer release'); raise SystemExit({status})")
    supervisor.launch(ChildSpec(name="worker", argv=program, final=frozenset({0, 78})))
    until = time.monotonic() + 1.0
    supervisor.run(until=lambda: time.monotonic() > until and bool(said) and runs(other.pid))

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
    other = supervisor.launch(ChildSpec(name="other", argv=python("import time; time.sleep(600)")))
    worker = ChildSpec(name="worker", argv=python("raise SystemExit(7)"), ends_all=True)
    supervisor.add(replace(worker, final=frozenset(final), final_at_first=frozenset(final_at_first)))

    assert (7, False) == (supervisor.run(), runs(other.pid))
    assert starts - 1 == sum("restarted (pid" in line for line in said)
    assert "; everything ends." in said[-1]


def test_without_a_folder_for_logs_children_write_where_the_supervisor_writes(capfd: pytest.CaptureFixture[str]):
    """As a command does whose log is its standard error."""
    said: list[str] = []
    supervisor = Supervisor(None, announce=said.append, policy=QUICK)
    supervisor.add(ChildSpec(name="worker", argv=python("print('trouble'); raise SystemExit(7)"), ends_all=True))

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
    supervisor.launch(ChildSpec(name="echo", argv=python(code, str(written), *words)))
    wait_for(lambda: written.exists() and written.stat().st_size)

    assert written.read_text() == repr(words)


def test_a_child_sees_neither_terminal_nor_pipe(supervisor: Supervisor, tmp_path: Path):
    """Its input is empty; a copy of the orphan reaper's pipe would keep it from noticing the end."""
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
    supervisor.launch(ChildSpec(name="look", argv=python(code, str(written))))
    wait_for(lambda: written.exists() and written.stat().st_size)

    assert written.read_text() == repr(("", ["0", "1", "2"]))


# -- readiness ---------------------------------------------------------------------------------------------------------
def _never() -> None:
    raise NotReadyError("the index is missing")


def test_a_child_that_does_not_become_ready_is_reported_with_its_log(supervisor: Supervisor):
    """What was missing, and what the child said."""
    argv = python("print('still loading', flush=True); import time; time.sleep(600)")

    with pytest.raises(ServerError) as late:
        supervisor.start(ChildSpec(name="api", argv=argv, probe=_never, ready_seconds=0.5))

    assert "api was not ready after 0.5 s (the index is missing)" in str(late.value)
    assert "| still loading" in str(late.value)


def test_a_child_that_ends_while_starting_is_reported_at_once(supervisor: Supervisor, tmp_path: Path):
    """Not after the deadline, and without the log of earlier starts."""
    (tmp_path / "api.log").write_text("yesterday's trouble\n")
    argv = python("print('bad setting'); raise SystemExit(2)")

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

    slow = python("import time; time.sleep(0.3); print('ready', flush=True); time.sleep(600)")
    supervisor.start(
        ChildSpec(name="first", argv=slow, probe=first_ready),
        ChildSpec(name="second", argv=["sleep", "600"], probe=second_ready),
    )

    assert [True] == seen


def test_an_interrupt_ends_thewait_for_readiness(supervisor: Supervisor):
    """Ctrl-C while a model loads does not wait for it."""
    threading.Timer(0.3, supervisor.interrupt).start()
    started = time.monotonic()

    with pytest.raises(ServerError, match="interrupted while starting"):
        supervisor.start(ChildSpec(name="api", argv=["sleep", "600"], probe=_never))
    assert time.monotonic() - started < 5
