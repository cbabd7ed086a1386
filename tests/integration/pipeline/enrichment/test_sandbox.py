"""The process in which a suspect is tried, and what its end means."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.pictures import picture
from worker import process
from worker import sandbox as worker_trial
from worker.catalog.spaces import Space
from worker.errors import PutOffError
from worker.pipeline.enrichment.sandbox import READY, Sandbox, SandboxResult
from worker.pipeline.resilience.heartbeat import LONGEST_BATCH_IN_LEASES, Heartbeat
from worker.quick_health import STUCK
from worker.settings import Settings

_HEAD = "import os, sys, time; from pathlib import Path; say = lambda: os.write(1, b'ready\\n'); "
_READ = "data = sys.stdin.buffer.read(); "


def trial(script: str, *, patience: float = 20.0) -> Sandbox:
    return Sandbox(command=(sys.executable, "-c", _HEAD + script), patience=patience)


def end(number: int) -> str:
    return f"say(); {_READ} os.kill(os.getpid(), {number})"


def try_image(script: str, *, data: bytes = b"image", patience: float = 20.0) -> tuple[str | None, int]:
    """What is said of the image, and how often it was exposed."""
    exposed: list[float] = []
    how = trial(script, patience=patience).try_image(data, expose=lambda: exposed.append(time.monotonic()))
    return how, len(exposed)


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        pytest.param(f"say(); {_READ}", (None, 1), id="survives"),
        pytest.param("sys.exit(69)", (None, 0), id="cannot be had"),
        pytest.param("print('hello')", (None, 0), id="ends before it is ready"),
        pytest.param(end(11), ("was killed by SIGSEGV", 1), id="crashes"),
        pytest.param(end(6), ("was killed by SIGABRT", 1), id="aborts"),
        pytest.param(end(9), ("was killed by SIGKILL", 2), id="is killed, twice"),
        pytest.param(f"say(); {_READ} sys.exit(70)", ("ended with exit status 70", 2), id="loses its device, twice"),
        pytest.param("say(); os.kill(os.getpid(), 11)", ("was killed by SIGSEGV", 1), id="reads nothing"),
    ],
)
def test_how_a_process_ends_says_what_the_image_did(script, verdict):
    """What it does to itself is proof at once; what somebody else may have done has to happen twice."""
    assert verdict == try_image(script)


_IGNORING_CHILDREN = """
import signal, sys, types
from worker import cli
from worker.cli import commands
from worker.pipeline.enrichment.sandbox import Sandbox

def convict(script: str) -> None:
    print(Sandbox(command=(sys.executable, "-c", script), patience=20).convict(b"image", expose=lambda: None))

module = types.ModuleType("worker.cli.convict")
module.register = lambda app: app.command()(convict)
sys.modules["worker.cli.convict"], commands.MODULES = module, {"convict": ("convict",)}
assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
cli.main()
"""


def test_a_death_is_seen_under_a_supervisor_that_ignores_deaths_of_children():
    """An ignored SIGCHLD is inherited, and nobody is told any more how a process ended: commands go back to normal."""
    command = (sys.executable, "-c", _IGNORING_CHILDREN, "convict", _HEAD + end(11))
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert "was killed by SIGSEGV" == process.communicate(timeout=60)[0].splitlines()[-1]


def test_one_unclear_end_is_not_enough(tmp_path: Path):
    """Killed once, survived once: it was somebody else."""
    mark = tmp_path / "tried"
    script = f"mark = Path({str(mark)!r}); first = not mark.exists(); mark.touch(); say(); {_READ}"
    assert (None, 2) == try_image(f"{script} first and os.kill(os.getpid(), 9)")


@pytest.mark.parametrize("number", [15, 2, 1, 3])
def test_an_order_to_end_is_no_verdict(number):
    """It was meant for this service."""
    with pytest.raises(PutOffError, match="interrupted"):
        try_image(end(number))


def test_a_process_that_never_becomes_ready_is_not_waited_for():
    """Nothing was learnt about the image, which was never given to it."""
    began = time.monotonic()
    assert (None, 0) == try_image("time.sleep(60)", patience=0.5)
    assert time.monotonic() - began < 10


def test_a_machine_that_can_start_nothing_learns_nothing():
    """No memory, no process number: the worker does it itself."""
    assert Sandbox(command=("/nowhere/python",), patience=1.0).try_image(b"", expose=lambda: None) is None


def test_an_image_on_which_it_never_ends_is_one_that_kills():
    """Twice, so that a machine that stood still for a moment is not mistaken for it."""
    how, exposed = try_image("say(); time.sleep(60)", data=b"x" * (1 << 20), patience=1.0)
    assert ("was still at it after 1 s", 2) == (how, exposed)


def test_a_large_file_arrives_whole():
    """Whatever the size of a pipe."""
    data = b"x" * (8 << 20)
    assert (None, 1) == try_image(
        f"say(); {_READ} assert len(data) == {len(data)}, os.kill(os.getpid(), 11)", data=data
    )


def test_nothing_is_left_behind():
    """A process that is given up is gone when the verdict is there."""
    command = (sys.executable, "-c", _HEAD + "say(); time.sleep(600)")
    Sandbox(command=command, patience=0.3).try_image(b"", expose=lambda: None)
    assert (
        "time.sleep(600)"
        not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    )


def test_one_image_is_tried_at_a_time():
    """Each process has a copy of the model: another image has to come again, and nothing is said of it."""
    given, go_on = threading.Event(), threading.Event()
    trials = trial(f"say(); {_READ} os.kill(os.getpid(), 11)")

    def expose() -> None:
        given.set()
        go_on.wait(20)

    verdicts: list[str | None] = []
    first = threading.Thread(target=lambda: verdicts.append(trials.try_image(b"first", expose=expose)))
    first.start()
    assert given.wait(20)
    with pytest.raises(PutOffError, match="one at a time"):
        trials.try_image(b"second", expose=lambda: None)
    go_on.set()
    first.join(20)
    assert ["was killed by SIGSEGV"] == verdicts
    assert "was killed by SIGSEGV" == trials.try_image(b"second", expose=lambda: None)


def test_a_trial_that_could_not_be_begun_keeps_nobody_from_theirs():
    """Whatever ends a trial, its turn is over."""

    def lose() -> None:
        raise PutOffError("its lease was lost")

    trials = trial(f"say(); {_READ}")
    with pytest.raises(PutOffError, match="lease"):
        trials.try_image(b"", expose=lose)
    assert trials.try_image(b"", expose=lambda: None) is None


def test_every_step_of_a_trial_is_progress():
    """Two processes that never end take longer than a worker may take for nothing."""
    script, moved = "say(); time.sleep(60)", []
    command = (sys.executable, "-c", _HEAD + script)
    Sandbox(command=command, patience=1.0, progressed=lambda: moved.append(1)).try_image(b"", expose=lambda: None)
    assert 4 == len(moved)  # ready, given up; twice


@pytest.mark.parametrize("lease", [1.0, 60.0, 3_600.0])
def test_no_step_takes_longer_than_what_watches_the_worker_allows(lease, engine):
    """Its health, its watchdog, and what ends the process where the worker has died."""
    space = Space(id=1, state="active", dimension=512, model="m", revision="r", preprocessing="p", source=None)
    made = process._poison_images(Settings(lease_seconds=lease), engine, space, Heartbeat(engine, kind="worker"))
    patience = made.trial.patience
    assert patience < STUCK
    assert 4 * patience < LONGEST_BATCH_IN_LEASES * lease
    assert 2 * patience < worker_trial.LONGEST


def test_the_endings_are_those_that_metrics_know():
    """A result that is not preset would be missed by rate()."""
    from worker import metrics

    assert {(str(each),) for each in SandboxResult} <= set(metrics.TRIALS._metrics)


@pytest.mark.parametrize(
    ("data", "environment", "status"),
    [
        pytest.param(picture("red"), {}, 0, id="a picture"),
        pytest.param(b"", {}, 0, id="nothing, for instance because the worker has gone"),
        pytest.param(b"rubbish", {}, 0, id="no picture"),
        pytest.param(picture("black"), {"TEST_BREAKS_ON_BLACK": "1"}, 70, id="one that breaks the device"),
        pytest.param(picture("black"), {"TEST_CRASHES_ON_BLACK": "1"}, -11, id="one that crashes"),
    ],
)
def test_the_process_decodes_and_encodes_as_a_worker_does(data, environment, status, monkeypatch):
    """Errors are no harm; what ends the process ends it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.processes.fake_worker", "--trial"],
        input=data, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (status, READY) == (done.returncode, done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it")
def test_where_memory_runs_out_the_trial_ends_and_not_the_worker():
    """A second copy of the model must not be what kills a worker."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.processes.fake_worker", "--trial"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert READY == process.stdout.readline()
        assert "1000\n" == Path(f"/proc/{process.pid}/oom_score_adj").read_text()
        process.communicate(b"")


_ENDLESS = """
from tests.fakes import ColourEncoder
from worker import bootstrap, trial

class Endless(ColourEncoder):
    def preprocess(self, image):
        while image.getpixel((0, 0))[0] > 200:
            pass
        return super().preprocess(image)

bootstrap.encoder = lambda *_, **__: Endless()
trial.LONGEST = 2
trial.main()
"""


def test_a_process_whose_worker_has_died_ends_by_itself():
    """Nobody else would end one that an image keeps busy, and each has a model in memory."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDLESS], input=picture("red"), capture_output=True, timeout=60, check=False
    )
    assert (-signal.SIGALRM, READY) == (done.returncode, done.stdout), done.stderr.decode()


def test_the_default_process_tries_images_with_the_configured_model(tmp_path: Path):
    """The model that ships; also where the worker was started in a folder that has other code called `worker`."""
    decoy = tmp_path / "worker"
    decoy.mkdir()
    (decoy / "__init__.py").write_text("raise SystemExit('not ours')")
    done = subprocess.run(process.TRIAL, input=picture(), capture_output=True, timeout=120, check=False, cwd=tmp_path)
    assert (0, READY) == (done.returncode, done.stdout), done.stderr.decode()
