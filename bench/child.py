"""Processes that measure when told to, so that rounds of several can take turns within the same minutes."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

#: What a child prints when it cannot be had at all, with why.
MISSING = "missing"
_PATIENCE = 600  # seconds for one turn
_ANSWERS = "BENCH_ANSWERS"  # the file descriptor that it answers on


class MissingPeerError(Exception):
    """A contender's packages are not here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A running ``python -m bench.…`` that waits for its next turn."""

    process: subprocess.Popen[str]
    answers: IO[str]

    def turn(self) -> dict[str, Any]:
        """Have it measure once.

        Raises:
            RuntimeError: it ended instead.
        """
        self.begin()
        return self.answer()

    def begin(self) -> None:
        """Have it begin to measure; ``answer`` waits for the end."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The next line it prints."""
        name = " ".join(map(str, self.process.args[3:]))  # type: ignore[index]
        if not select.select([self.answers], [], [], _PATIENCE)[0]:
            self.process.kill()
            raise RuntimeError(f"{name} gave no answer within {_PATIENCE} s")
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"{name} ended with {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        if MISSING in found:
            raise MissingPeerError(found[MISSING])
        return found


@contextmanager
def child(environment: Mapping[str, str], module: str, *arguments: str) -> Iterator[Child]:
    """Start it, and wait until it is warm; end it with the block.

    Raises:
        MissingPeerError: it says that it cannot be had.
    """
    print(f"… {module.partition('.')[2]} {' '.join(arguments)}", file=sys.stderr, flush=True)
    here, there = os.pipe()  # not its standard output: libraries and logs print there
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        env={**os.environ, **environment, _ANSWERS: str(there)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=(there,),
        text=True,
    )
    os.close(there)
    try:
        started = Child(process=process, answers=os.fdopen(here))
        started.answer()
        yield started
    finally:
        with process:
            assert process.stdin is not None
            process.stdin.close()  # it ends when there are no more turns
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def serve(measure: Callable[[], Mapping[str, Any]]) -> None:
    """In the child: say that it is warm, then answer every turn with one line of JSON, until there are no more."""
    _answer({})
    for _ in sys.stdin:
        _answer(measure())


def give_up(why: str) -> None:
    """In the child: say that it cannot measure anything."""
    _answer({MISSING: why})


def memory() -> dict[str, float]:
    """MiB of this process: as of now, and at most since ``forget_peak``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = {name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest}
    return {"now": kib["VmRSS"] / 1024, "peak": kib["VmHWM"] / 1024}


def forget_peak() -> None:
    """Have ``memory`` count anew: what loading a model took for a moment is no part of working with it."""
    Path("/proc/self/clear_refs").write_text("5")


def _answer(found: Mapping[str, Any]) -> None:
    os.write(int(os.environ[_ANSWERS]), (json.dumps(found) + "\n").encode())
