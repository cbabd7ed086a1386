from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.supervision.children import PARENT, QUICK, SERVER, python, read_pids, wait_for
from worker.supervision.supervisor import Supervisor


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[int]]]]:
    """Starts a process that supervises two children with a grandchild each; gives it and the four pids."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "server.py").write_text(SERVER)

    def start(*words: str) -> tuple[subprocess.Popen[str], list[int]]:
        root = str(Path(__file__).parents[3])
        argv = python(PARENT.format(root=root), str(tmp_path), *words)
        process = subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        started.append(process)
        files = [tmp_path / "one.pids", tmp_path / "two.pids"]
        wait_for(lambda: all(file.exists() for file in [*files, tmp_path / "up"]))
        return process, read_pids(*files)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, announce=lambda _message: None, policy=QUICK)
    yield supervisor
    supervisor.stop()
