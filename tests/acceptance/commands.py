"""The command line as a user has it: real processes, real signals, nothing imported from what is tested."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import psutil
import urllib3

ENRICH = str(Path(sys.executable).with_name("enrich"))
PATIENCE = 120.0  # seconds; two busy cores are slow


def environment(**extra: str) -> dict[str, str]:
    """This machine's, without anything that configures the product."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "AWS_"))}
    return {**plain, "OMP_NUM_THREADS": "1", **extra}


def enrich(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [ENRICH, *arguments], cwd=cwd, env=environment(**env), capture_output=True, text=True, timeout=280, check=False
    )


def json_of(*arguments: str, cwd: Path) -> Any:
    """What a command prints with ``--json``."""
    done = enrich(*arguments, "--json", cwd=cwd)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def until(holds: Callable[[], bool], *, seconds: float = PATIENCE, otherwise: Callable[[], object] = str) -> float:
    """Wait until something holds, and say for how long."""
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {waited:.0f} s: {otherwise()}"
        time.sleep(0.05)
    return time.monotonic() - started


def left_of(home: Path) -> list[str]:
    """Processes that still have to do with a home directory."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            where = " ".join([*process.cmdline(), process.cwd(), process.environ().get("ENRICH_HOME", "")])
            if str(home) in where and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that runs, and what it has said so far."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def said(self) -> str:
        return self.stderr.read_text(errors="replace")

    def wait_until_it_says(self, words: str) -> None:
        until(
            lambda: words in self.said() or self.process.poll() is not None,
            otherwise=lambda: f"{words!r} was never said:\n{self.said()}",
        )
        assert words in self.said(), self.said()

    def end(self, number: int, *, seconds: float = 60) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def running(*arguments: str, cwd: Path, logs: Path, env: Mapping[str, str] | None = None) -> Iterator[Command]:
    """Start a command in the background; whatever the test leaves of it is killed."""
    name = f"{arguments[0]}-{time.monotonic_ns()}"
    stdout, stderr = logs / f"{name}.out", logs / f"{name}.err"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            [ENRICH, *arguments],
            cwd=cwd,
            env=environment(**(env or {})),
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        yield Command(process=process, stdout=stdout, stderr=stderr)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(45)
            process.kill()
        process.wait()


def on_a_terminal(*arguments: str, cwd: Path, columns: int = 100) -> str:
    """What a command prints where a person is looking."""
    with terminal(*arguments, cwd=cwd, columns=columns) as (process, read):
        shown = read(lambda text: False)
        assert process.wait(30) is not None
    return shown


@contextmanager
def terminal(
    *arguments: str, cwd: Path, columns: int = 100
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[Callable[[str], bool]], str]]]:
    """A command on a terminal of its own, and a function that reads until its argument holds or the output ends."""
    ours, theirs = pty.openpty()
    env = environment(COLUMNS=str(columns), TERM="xterm")
    process = subprocess.Popen(
        [ENRICH, *arguments], cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)

    def read(enough: Callable[[str], bool]) -> str:
        text, deadline = b"", time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not enough(text.decode(errors="replace")):
            ready, _, _ = select.select([ours], [], [], 0.2)
            try:
                piece = os.read(ours, 65_536) if ready else None
            except OSError:  # the other end is closed
                break
            if piece == b"":
                break
            text += piece or b""
        return text.decode(errors="replace").replace("\r\n", "\n")

    try:
        yield process, read
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


@dataclass(kw_only=True)
class RunningSystem:
    """A system that ``enrich up`` runs, reached only by what it prints."""

    command: Command
    cwd: Path

    @property
    def home(self) -> Path:
        return self.cwd / ".enrich"

    @cached_property
    def env(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json_of("env", cwd=self.cwd))

    def store(self) -> Any:
        """An S3 client that knows nothing but what ``enrich env`` says."""
        import boto3
        from botocore.config import Config

        env = self.env
        return boto3.client(
            "s3",
            endpoint_url=env["s3_endpoint_url"],
            region_name=env["s3_region"],
            aws_access_key_id=env["s3_access_key_id"],
            aws_secret_access_key=env["s3_secret_access_key"],
            config=Config(s3={"addressing_style": env["s3_addressing_style"]}),
        )

    def upload(self, content: bytes, *keys: str) -> None:
        store = self.store()
        for key in keys:
            store.put_object(Bucket="photos", Key=key, Body=content, ContentType="image/jpeg")

    def request(self, method: str, path: str, body: bytes | None = None) -> urllib3.BaseHTTPResponse:
        """Ask the API."""
        headers = {"Authorization": f"Bearer {self.env['api_token']}", "Content-Type": "application/json"}
        return urllib3.request(method, f"{self.env['api_url']}{path}", body=body, headers=headers, timeout=30)

    def totals(self) -> dict[str, int]:
        return cast("dict[str, int]", self.request("GET", "/v1/status").json())

    def until_totals(self, **expected: int) -> None:
        """Wait until the ledger counts so."""
        until(lambda: self.totals().items() >= expected.items(), otherwise=lambda: (self.totals(), self.command.said()))

    def child(self, kind: str) -> psutil.Process:
        """The process of ``enrich KIND`` below the supervisor."""
        below = psutil.Process(self.command.process.pid).children()
        return next(
            each for each in below if each.cmdline()[-3:] == ["-m", "worker", kind] or kind in each.cmdline()[4:]
        )


@contextmanager
def up(cwd: Path, port_base: int | None, *, env: Mapping[str, str] | None = None) -> Iterator[RunningSystem]:
    """``enrich up``, ready; without ports it takes those that it remembers."""
    ports = [] if port_base is None else ["--port-base", str(port_base)]
    with running("up", *ports, cwd=cwd, logs=cwd, env=env) as command:
        command.wait_until_it_says("Ctrl-C stops everything.")
        yield RunningSystem(command=command, cwd=cwd)


def leaves_nothing(home: Path, *, seconds: float = 15) -> Sequence[str]:
    """Wait a little for a home's processes to end; those that do not."""
    with suppress(AssertionError):
        until(lambda: not left_of(home), seconds=seconds)
    return left_of(home)
