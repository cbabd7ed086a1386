"""The product's own processes, as a user starts them: for what only they can show."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection


@contextmanager
def process(environment: Mapping[str, str], command: str) -> Iterator[subprocess.Popen[bytes]]:
    """``enrich COMMAND`` while the block runs."""
    running = subprocess.Popen([sys.executable, "-m", "worker", command], env={**os.environ, **environment})
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def api(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """``enrich api``, once it is ready."""
    with process(environment, "api") as running:
        deadline = time.monotonic() + 60
        while not _answers(int(environment["ENRICH_API_PORT"])):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the API does not start: {running.poll()}")
            time.sleep(0.2)
        yield running


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
