"""Giving files to processes that may die, hang or grow, and saying which file did it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.fuzz.cases import Case
from tests.fuzz.limits import MOST_BEYOND, MOST_LEFT, MOST_MEMORY, MOST_SECONDS, PATIENCE

ROOT: Final = Path(__file__).parents[2]
DECODE: Final = "tests.fuzz.targets:decode"
#: Files after which a process is replaced: what it has not given back by then, it never will.
_LIFE: Final = 5_000
_REMEMBERED: Final = 50
#: Seconds for a process to import everything, also where many others want the processor.
_STARTING: Final = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A file that must not be able to do what it did."""

    kind: str  # died, hung, slow, memory, leak, raised
    case: Case
    detail: str
    before: tuple[str, ...] = ()  # labels of the files that the process had had before


@dataclass(kw_only=True, slots=True)
class Tally:
    """What became of all files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    by_origin: Counter[tuple[str, str]] = field(default_factory=Counter)  # of (intact file, outcome)
    findings: list[Finding] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")  # seconds of processor time, label
    largest: tuple[int, str] = (0, "")  # bytes, label

    @property
    def files(self) -> int:
        return self.outcomes.total()

    def add(self, case: Case, answer: dict[str, Any]) -> None:
        """Count one answer."""
        outcome = str(answer["outcome"])
        self.outcomes[outcome] += 1
        self.by_origin[case.origin, outcome] += 1
        self.slowest = max(self.slowest, (answer["seconds"], case.label))
        self.largest = max(self.largest, (answer["peak"], case.label))


class Child:
    """One process. ``answer`` raises ``ChildGone`` when it dies or says nothing."""

    def __init__(self, target: str, *, patience: float) -> None:
        self._patience = patience
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.fuzz.child", target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=ROOT,
            # Memory that was given back is overwritten, so that using it afterwards shows.
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_PERTURB_": "165"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def answer(self, data: bytes, *, patience: float | None = None) -> dict[str, Any]:
        """What became of a file."""
        self._said.truncate(0)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(len(data).to_bytes(8, "big") + data)
            self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], patience or self._patience)[0]:
            raise self._gone("hung")
        line = self._process.stdout.readline()
        if not line:
            raise self._gone("died")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _gone(self, kind: str) -> ChildGoneError:
        if kind == "hung":
            self._process.send_signal(signal.SIGABRT)  # faulthandler then says where it is
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._said.seek(0)
        last_words = self._said.read()[-4000:].decode(errors="replace")
        return ChildGoneError(kind, f"{_name(status)}\n{last_words}")


class ChildGoneError(Exception):
    """The process died with a file in hand, or said nothing for too long."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


def _name(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def examine(
    cases: Iterable[Case],
    *,
    target: str = DECODE,
    processes: int = 2,
    patience: float = PATIENCE,
    progress: Callable[[Tally], object] = lambda _: None,
) -> Tally:
    """Give every file to one of several processes. A process that is gone is replaced, and the rest goes on."""
    tally, lock, shared = Tally(), threading.Lock(), _Shared(cases)

    def serve() -> None:
        for case, answer, findings in _serve(shared, target, patience):
            with lock:
                tally.add(case, answer)
                tally.findings.extend(findings)
                progress(tally)

    threads = [threading.Thread(target=serve) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def price(data: bytes) -> dict[str, Any]:
    """What a file costs a worker with the product's own limits: ``tests.fuzz.price``, in a process of its own."""
    command = [sys.executable, "-P", "-m", "tests.fuzz.price"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT, env=environment, timeout=280, check=False)
    if done.returncode:
        raise ChildGoneError("died", done.stderr.decode(errors="replace")[-2_000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class _Shared(Iterator[Case]):
    """An iterator for several threads."""

    def __init__(self, cases: Iterable[Case]) -> None:
        self._cases, self._lock = iter(cases), threading.Lock()

    def __next__(self) -> Case:
        with self._lock:
            return next(self._cases)


def _serve(cases: Iterator[Case], target: str, patience: float) -> Iterator[tuple[Case, dict[str, Any], list[Finding]]]:
    """One process after another, until there are no more files."""
    exhausted = False
    while not exhausted:
        before: deque[str] = deque(maxlen=_REMEMBERED)
        with Child(target, patience=patience) as child:
            started = _settled(child)
            for _ in range(_LIFE):
                case = next(cases, None)
                if case is None:
                    exhausted = True
                    break
                try:
                    answer = child.answer(case.data)
                except ChildGoneError as gone:
                    finding = Finding(kind=gone.kind, case=case, detail=gone.detail, before=tuple(before))
                    yield case, {"outcome": gone.kind, "seconds": 0.0, "peak": 0}, [finding]
                    break
                leaked = answer["left"] - started > MOST_LEFT
                yield case, answer, list(_judge(case, answer, started, tuple(before)))
                before.append(case.label)
                if leaked:
                    break


def _settled(child: Child) -> int:
    """Bytes of a process that has had its first file, and all modules with it."""
    tiny = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    return int(child.answer(tiny, patience=_STARTING)["left"])


def _judge(case: Case, answer: dict[str, Any], started: int, before: tuple[str, ...]) -> Iterator[Finding]:
    problems = {
        "raised": answer["outcome"] is None,
        "memory": answer["outcome"] == "memory" or answer["peak"] > min(MOST_MEMORY, answer["reserved"] + MOST_BEYOND),
        "slow": answer["seconds"] > MOST_SECONDS,
        "leak": answer["left"] - started > MOST_LEFT,
    }
    figures = f"{answer['seconds']:.2f} s, {answer['peak'] >> 20} MiB, {(answer['left'] - started) >> 20} MiB left"
    for kind, found in problems.items():
        if found:
            yield Finding(kind=kind, case=case, detail=f"{figures}\n{answer['trace']}", before=before)


def keep(finding: Finding, folder: Path) -> Path:
    """Write a file that did something down, with what makes it again.

    Returns:
        Where it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.kind}-{finding.case.origin.replace(' ', '-').replace('/', '')}-{finding.case.label}"
    path.write_bytes(finding.case.data)
    story = f"seed and number {finding.case.label}, made from {finding.case.origin!r}: {finding.kind}\n{finding.detail}"
    path.with_name(path.name + ".txt").write_text(f"{story}\nbefore it: {' '.join(finding.before)}\n")
    return path
