"""``enrich review`` on a terminal of its own: a person who reads, and presses keys."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.commands import ENRICH, PATIENCE, environment


@dataclass
class Reviewing:
    """A running review."""

    process: subprocess.Popen[bytes]
    terminal: int
    text: str = ""
    read_to: int = field(default=0)

    def until(self, words: str) -> str:
        """Read until some words come after what was read before; returns what came, with the words."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.text.find(words, self.read_to)) < 0:
            assert time.monotonic() < deadline, self.text
            assert self._read(), f"the command ended: {self.text}"
        came, self.read_to = self.text[self.read_to : found + len(words)], found + len(words)
        return came

    def press(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def asked(self) -> str:
        """The image that is asked about next."""
        shown = self.until("q quit")
        [line] = [line for line in shown.splitlines() if "photos/" in line and "s3://" not in line]
        return line.split("photos/")[1].strip()

    def ended(self) -> tuple[int, str]:
        """Exit status and the rest of the output."""
        while self._read():
            pass
        return self.process.wait(PATIENCE), self.text[self.read_to :]

    def _read(self) -> bool:
        if not select.select([self.terminal], [], [], PATIENCE)[0]:
            return False
        try:
            piece = os.read(self.terminal, 65_536)
        except OSError:  # the other end is closed
            return False
        self.text += re.sub(r"\x1b\[[0-9;]*m", "", piece.decode(errors="replace").replace("\r\n", "\n"))
        return bool(piece)


@contextmanager
def reviewing(*arguments: str, cwd: Path, **env: str) -> Iterator[Reviewing]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [ENRICH, "review", *arguments], cwd=cwd, env=environment(COLUMNS="120", TERM="xterm", **env),
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Reviewing(process=process, terminal=ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
